//! How often the kernel killed for memory inside this instance's cgroup.

use std::fs;

/// Version 2 first; on a hybrid machine the controller is in version 1. Seen from inside, our cgroup is the root.
const COUNTERS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// The count since the cgroup was made; 0 where no counter can be read.
pub fn kills() -> u64 {
    COUNTERS.iter().find_map(|path| fs::read_to_string(path).ok().as_deref().and_then(count)).unwrap_or(0)
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_understood() {
        assert_eq!(count("low 0\nhigh 0\nmax 3\noom 2\noom_kill 7\noom_group_kill 0\n"), Some(7));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), Some(2));
        assert_eq!(count("nothing"), None);
    }
}
