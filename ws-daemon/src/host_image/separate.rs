//! System directories that are file systems of their own on this machine. An overlay does not look below mount points, so
//! these are shown beside it, read-only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::runtime::bundle::Shown;

/// File systems of disks in this machine; nothing that comes over a network or lives in memory.
const DISKS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "erofs"];

/// `/usr`, `/opt` and what is mounted in them.
pub fn system_directories() -> Vec<Shown> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    directories(&mountinfo)
        .into_iter()
        .filter(|path| path.is_dir())
        .map(|path| Shown { source: path.clone(), target: path, mapped: true })
        .collect()
}

fn directories(mountinfo: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo.lines().filter_map(parse).collect();
    found.sort();
    found.dedup();
    found
}

fn parse(line: &str) -> Option<PathBuf> {
    let (before, after) = line.split_once(" - ")?;
    let mount = Path::new(before.split_whitespace().nth(4)?);
    let is_disk = DISKS.contains(&after.split_whitespace().next()?);
    let is_system = mount.starts_with("/usr") || mount.starts_with("/opt");
    (is_disk && is_system).then(|| mount.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_on_usr_is_shown_and_data_and_network_file_systems_are_not() {
        let found = directories(
            "27 1 254:0 / / rw - ext4 /dev/vda rw\n30 27 254:1 / /usr rw - ext4 /dev/vdb rw\n\
             31 27 254:2 / /home rw - ext4 /dev/vdc rw\n32 30 0:40 / /usr/share/team rw - nfs4 server:/team rw\n\
             33 30 0:41 / /opt/memory rw - tmpfs tmpfs rw\n",
        );
        assert_eq!(found, [PathBuf::from("/usr")]);
    }
}
