//! The hierarchies that are mounted, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What an instance's group needs on v2, where controllers are handed down from parent to child.
const WANTED: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// v2.
    pub unified: bool,
    /// v1: its controllers. v2: what its root offers.
    pub controllers: BTreeSet<String>,
}

impl Hierarchy {
    /// The directory of a group.
    pub fn directory(&self, path: &Path) -> PathBuf {
        self.mount.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether it has a controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.contains(controller)
    }

    /// Makes the group and hands the controllers down to it.
    pub fn create(&self, path: &Path) -> io::Result<()> {
        let mut directory = self.mount.clone();
        for part in path.strip_prefix("/").unwrap_or(path).components() {
            if self.unified {
                self.hand_down(&directory);
            }
            directory.push(part);
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => self.inherit_cpuset(&directory)?,
            }
        }
        Ok(())
    }

    /// On a hybrid machine v1 has taken the controllers, so a refusal is expected there; a limit that cannot be
    /// written later is an error then.
    fn hand_down(&self, directory: &Path) {
        for controller in WANTED.iter().filter(|controller| self.has(controller)) {
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }

    /// A v1 cpuset starts empty, and an empty one takes no process.
    fn inherit_cpuset(&self, directory: &Path) -> io::Result<()> {
        if self.unified || !self.has("cpuset") {
            return Ok(());
        }
        let Some(parent) = directory.parent() else { return Ok(()) };
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if fs::read_to_string(directory.join(file))?.trim().is_empty() {
                fs::write(directory.join(file), fs::read_to_string(parent.join(file))?)?;
            }
        }
        Ok(())
    }
}

/// All that are mounted.
pub fn mounted() -> io::Result<Vec<Hierarchy>> {
    let mut hierarchies = parse(&fs::read_to_string("/proc/self/mountinfo")?);
    for hierarchy in hierarchies.iter_mut().filter(|hierarchy| hierarchy.unified) {
        let offered = fs::read_to_string(hierarchy.mount.join("cgroup.controllers")).unwrap_or_default();
        hierarchy.controllers = offered.split_whitespace().map(str::to_owned).collect();
    }
    Ok(hierarchies)
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut hierarchies: Vec<Hierarchy> = mountinfo.lines().filter_map(parse_line).collect();
    let mut seen = BTreeSet::new();
    hierarchies.retain(|hierarchy| seen.insert((hierarchy.unified, hierarchy.controllers.clone())));
    hierarchies
}

/// `31 23 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu`
fn parse_line(line: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split_whitespace();
    let unified = match after.next()? {
        "cgroup" => false,
        "cgroup2" => true,
        _ => return None,
    };
    let mount = PathBuf::from(before.split_whitespace().nth(4)?);
    let options = after.nth(1).unwrap_or_default();
    let known = |option: &&str| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children" | "noprefix");
    let controllers = match unified {
        true => BTreeSet::new(),
        false => options.split(',').filter(known).map(str::to_owned).collect(),
    };
    Some(Hierarchy { mount, unified, controllers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_has_v1_controllers_and_a_unified_hierarchy() {
        let found = parse(
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
             42 31 0:29 / /elsewhere rw,relatime - cgroup cgroup rw,cpu,cpuacct\n",
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].has("cpu") && found[0].has("cpuacct") && !found[0].unified);
        assert!(found[1].has("name=systemd"));
        assert!(found[2].unified);
    }
}
