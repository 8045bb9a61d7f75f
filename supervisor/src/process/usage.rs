//! What this instance uses, as its own cgroup counts (version 2 first, then 1); 0 where nothing can be read.

use std::fs;

/// CPU time since the cgroup was made, in microseconds.
pub fn cpu_micros() -> u64 {
    let v2 = fs::read_to_string("/sys/fs/cgroup/cpu.stat").ok();
    let v2 = v2.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok()));
    v2.or_else(|| number("/sys/fs/cgroup/cpuacct/cpuacct.usage").map(|nanos| nanos / 1000)).unwrap_or(0)
}

/// Memory that counts against the limit, in bytes.
pub fn memory_bytes() -> u64 {
    let v2 = number("/sys/fs/cgroup/memory.current");
    v2.or_else(|| number("/sys/fs/cgroup/memory/memory.usage_in_bytes")).unwrap_or(0)
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
