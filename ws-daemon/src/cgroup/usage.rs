//! What an instance uses, read from its groups.

use std::fs;
use std::path::Path;

use super::hierarchy::Hierarchy;

/// Reads what there is. Memory is without the page cache that the kernel would give back at once.
pub fn read(hierarchies: &[Hierarchy], path: &Path) -> api::v1::Usage {
    let mut usage = api::v1::Usage::default();
    for hierarchy in hierarchies {
        let directory = hierarchy.directory(path);
        match hierarchy.unified {
            true => unified(&directory, &mut usage),
            false => v1(hierarchy, &directory, &mut usage),
        }
    }
    usage
}

fn unified(directory: &Path, usage: &mut api::v1::Usage) {
    if let Some(current) = number(&directory.join("memory.current")) {
        usage.memory_bytes = current.saturating_sub(field(&directory.join("memory.stat"), "inactive_file"));
        usage.oom_kills = field(&directory.join("memory.events"), "oom_kill");
    }
    // cpu.stat exists in every v2 group, also on a hybrid machine where v1 counts: both count the same processes.
    usage.cpu_usec = usage.cpu_usec.max(field(&directory.join("cpu.stat"), "usage_usec"));
    if let Some(pids) = number(&directory.join("pids.current")) {
        usage.pids = pids;
    }
}

fn v1(hierarchy: &Hierarchy, directory: &Path, usage: &mut api::v1::Usage) {
    if hierarchy.has("memory") {
        let current = number(&directory.join("memory.usage_in_bytes")).unwrap_or_default();
        usage.memory_bytes = current.saturating_sub(field(&directory.join("memory.stat"), "total_inactive_file"));
        usage.oom_kills = field(&directory.join("memory.oom_control"), "oom_kill");
    }
    if hierarchy.has("cpuacct") {
        let nanoseconds = number(&directory.join("cpuacct.usage")).unwrap_or_default();
        usage.cpu_usec = usage.cpu_usec.max(nanoseconds / 1_000);
    }
    if hierarchy.has("pids") {
        usage.pids = number(&directory.join("pids.current")).unwrap_or_default();
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of "key number" lines; 0 where it is not there.
fn field(file: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or_default()
}
