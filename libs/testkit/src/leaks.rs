//! The leak check: what a workspace or a server must not leave behind on a machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What there still is of workspaces of a server with this data directory: mounts, processes, cgroups, links,
/// namespaces, rules, files.
pub fn of_workspaces(data: &Path) -> Vec<String> {
    let mut left = mounts(data);
    left.extend(processes(data));
    left.extend(cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(links().into_iter().map(|name| format!("network link {name}")));
    for folder in ["node/instances", "node/workspaces", "node/netns", "node/runtime"] {
        let entries = std::fs::read_dir(data.join(folder)).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| format!("file {}", entry.path().display())));
    }
    left
}

/// What there still is of a server that has ended.
pub fn of_server(data: &Path) -> Vec<String> {
    let mut left = mounts(data);
    left.extend(processes(data));
    if Command::new("nft")
        .args(["list", "table", "inet", "crannog"])
        .output()
        .is_ok_and(|output| output.status.success() && links().is_empty() && has_elements(&output.stdout))
    {
        left.push("addresses in the nftables table inet crannog".into());
    }
    left
}

fn has_elements(table: &[u8]) -> bool {
    String::from_utf8_lossy(table).contains("elements = {")
}

fn mounts(data: &Path) -> Vec<String> {
    let own = data.to_string_lossy();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains(own.as_ref())).map(|line| format!("mount {line}")).collect()
}

fn processes(data: &Path) -> Vec<String> {
    let own = data.to_string_lossy();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let in_cgroup = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default().contains("/crannog/");
        let words = String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ");
        let is_server = words.contains(" server ");
        let is_ours = in_cgroup || (words.contains(own.as_ref()) && !is_server && pid != std::process::id());
        if is_ours && std::fs::read_link(path.join("exe")).is_ok() {
            left.push(format!("process {pid}: {words}"));
        }
    }
    left
}

/// Cgroups of instances, in every hierarchy.
fn cgroups() -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let parents =
        hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|path| path.join("crannog")).filter(|path| path.is_dir());
    let children = |parent: PathBuf| std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    parents.flat_map(children).filter(|path| path.is_dir()).collect()
}

fn links() -> Vec<String> {
    let names = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with("crn")).collect()
}

/// Files and folders below a folder whose name is wanted.
pub fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if wanted(&entry.file_name().to_string_lossy()) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Takes away what a failed story left, so that the next one is judged alone.
pub fn clean(data: &Path) {
    for cgroup in cgroups() {
        let tasks = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        for pid in tasks.lines() {
            let _ = Command::new("kill").args(["-9", pid]).output();
        }
        let _ = std::fs::remove_dir(&cgroup);
    }
    for mount in mounts(data) {
        if let Some(point) = mount.split_whitespace().nth(5) {
            let _ = Command::new("umount").args(["--lazy", point]).output();
        }
    }
    for link in links() {
        let _ = Command::new("ip").args(["link", "delete", &link]).output();
    }
}
