//! The helper's own mount namespace: everything that the container's mounts come from is brought to one small tmpfs first.
//!
//! Inside the user namespace the machine's root is nobody, so a data directory of mode 0700 could not even be walked through.
//! On the stage every source has a short path that anybody may walk, and nothing that is mounted here is ever seen by the
//! machine: the namespace ends with the container.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};

/// Directories that a Linux machine has and that hold nothing we need, in order of preference.
const PLACES: [&str; 6] = ["/mnt", "/media", "/srv", "/opt", "/tmp", "/run"];

/// The stage, mounted.
pub struct Stage {
    directory: PathBuf,
    sources: usize,
}

impl Stage {
    /// Enters a new mount namespace and sets the stage up in it, not above any of the paths `in_use`.
    pub fn set(in_use: &[&Path]) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let directory = place(in_use)?;
        mount("crannog", &directory, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=1m")?;
        Ok(Self { directory, sources: 0 })
    }

    /// Attaches the container's root, which came as a descriptor; its path.
    pub fn attach_root(&self, root: &OwnedFd) -> io::Result<PathBuf> {
        let path = self.directory.join("rootfs");
        fs::create_dir(&path)?;
        move_mount(root, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(path)
    }

    /// Brings a file or directory of the machine here, without what is mounted below it; its path here.
    pub fn bring(&mut self, source: &Path) -> io::Result<PathBuf> {
        let tree = open_tree(CWD, source, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
        self.attach(&tree, fs::metadata(source)?.is_dir())
    }

    /// Mounts sysfs of the network namespace that the helper is in: the container's user namespace does not own that one
    /// and could not.
    pub fn sysfs(&mut self) -> io::Result<PathBuf> {
        let path = self.spot(true)?;
        mount("sysfs", &path, "sysfs", MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
        Ok(path)
    }

    /// Attaches a mount that came as a descriptor.
    pub fn attach(&mut self, tree: &OwnedFd, is_directory: bool) -> io::Result<PathBuf> {
        let path = self.spot(is_directory)?;
        move_mount(tree, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(path)
    }

    fn spot(&mut self, is_directory: bool) -> io::Result<PathBuf> {
        let path = self.directory.join(self.sources.to_string());
        self.sources += 1;
        if is_directory {
            fs::create_dir(&path)?
        } else {
            drop(fs::File::create(&path)?)
        }
        Ok(path)
    }
}

/// A directory that everybody may walk to and that hides nothing that is in use.
fn place(in_use: &[&Path]) -> io::Result<PathBuf> {
    PLACES
        .iter()
        .map(PathBuf::from)
        .find(|place| is_walkable(place) && !in_use.iter().any(|path| path.starts_with(place)))
        .ok_or_else(|| io::Error::other(format!("none of {PLACES:?} can carry the stage of a container")))
}

fn is_walkable(place: &Path) -> bool {
    fs::symlink_metadata(place).is_ok_and(|found| found.is_dir() && found.permissions().mode() & 0o001 != 0)
}
