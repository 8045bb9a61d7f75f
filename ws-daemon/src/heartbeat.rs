//! How the machine is: room on the disk, free memory, and what it is short of.

use std::path::Path;

use api::v1::NodeHeartbeat;

/// Memory below which the node says that it is short of it.
const MIN_MEMORY: u64 = 256 << 20;

/// What there is now. What cannot be read is told as 0 and is no pressure.
pub fn now(data: &Path, min_free: u64) -> NodeHeartbeat {
    let free = rustix::fs::statvfs(data).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)).ok();
    let memory = available_memory();
    let short =
        [(free.is_some_and(|free| free < min_free), "disk"), (memory.is_some_and(|memory| memory < MIN_MEMORY), "memory")];
    let pressure = short.into_iter().filter(|(is_short, _)| *is_short).map(|(_, what)| what.to_owned()).collect();
    NodeHeartbeat { free_bytes: free.unwrap_or_default(), memory_bytes: memory.unwrap_or_default(), pressure }
}

fn available_memory() -> Option<u64> {
    field("MemAvailable:")
}

/// All memory of the machine, in bytes.
pub fn total_memory() -> u64 {
    field("MemTotal:").unwrap_or_default()
}

fn field(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_a_roomy_one_is_not() {
        let here = std::env::temp_dir();
        assert!(now(&here, u64::MAX).pressure.contains(&"disk".to_owned()));
        let roomy = now(&here, 0);
        assert!(!roomy.pressure.contains(&"disk".to_owned()) && roomy.memory_bytes > 0);
    }
}
