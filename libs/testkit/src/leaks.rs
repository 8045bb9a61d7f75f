//! The leak check: what a workspace or a server must not leave behind on a machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What there still is of workspaces of a server with this data directory: mounts, processes, cgroups, links,
/// namespaces, files. `instances` are the ids that were seen: other servers of the machine are left out.
pub fn of_workspaces(data: &Path, instances: &BTreeSet<String>) -> Vec<String> {
    let mut left = of_server(data, instances);
    for folder in ["node/instances", "node/workspaces", "node/netns", "node/runtime"] {
        let entries = std::fs::read_dir(data.join(folder)).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| format!("file {}", entry.path().display())));
    }
    left
}

/// What there still is on the machine, outside the data directory.
pub fn of_server(data: &Path, instances: &BTreeSet<String>) -> Vec<String> {
    let mut left = mounts(data);
    left.extend(processes(data, instances));
    left.extend(cgroups(instances).into_iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(links(instances).into_iter().map(|name| format!("network link {name}")));
    left
}

fn mounts(data: &Path) -> Vec<String> {
    let own = data.to_string_lossy();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains(own.as_ref())).map(|line| format!("mount {line}")).collect()
}

fn processes(data: &Path, instances: &BTreeSet<String>) -> Vec<String> {
    let own = data.to_string_lossy();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let cgroup = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        let words = String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default()).replace('\0', " ");
        let is_inside = instances.iter().any(|id| cgroup.contains(id.as_str()));
        let is_helper = words.contains(own.as_ref()) && words.contains("oci-runtime") && pid != std::process::id();
        if (is_inside || is_helper) && std::fs::read_link(path.join("exe")).is_ok() {
            left.push(format!("process {pid}: {words}"));
        }
    }
    left
}

/// Cgroups of instances, in every hierarchy.
fn cgroups(instances: &BTreeSet<String>) -> Vec<PathBuf> {
    let wanted = |name: &str| instances.contains(name);
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let parents = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).map(|path| path.join("crannog"));
    parents.flat_map(|parent| find(&parent, wanted)).collect()
}

/// The node's end of each instance's link: `crn` and the beginning of the id.
fn links(instances: &BTreeSet<String>) -> Vec<String> {
    let names = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let is_of = |name: &str| name.strip_prefix("crn").is_some_and(|part| instances.iter().any(|id| id.starts_with(part)));
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| is_of(name)).collect()
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
pub fn clean(data: &Path, instances: &BTreeSet<String>) {
    for cgroup in cgroups(instances) {
        let tasks = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        for pid in tasks.lines() {
            let _ = Command::new("kill").args(["-9", pid]).output();
        }
        let _ = std::fs::remove_dir(&cgroup);
    }
    for mount in mounts(data) {
        if let Some(point) = mount.split_whitespace().nth(4) {
            let _ = Command::new("umount").args(["--lazy", point]).output();
        }
    }
    for link in links(instances) {
        let _ = Command::new("ip").args(["link", "delete", &link]).output();
    }
}
