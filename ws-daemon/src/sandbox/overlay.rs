//! The root of an instance: an overlay of the workspace's own writes, a scaffold of ours, and the image, put together in a
//! mount namespace of a thread and handed out as a mount that is attached nowhere.
//!
//! Nothing is ever mounted in the machine's own namespace. Whatever dies at whatever moment, the mounts die with it: there is
//! nothing to unmount, and nothing can propagate.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};

use super::scaffold::{self, Entry};
use crate::ports::{IdRange, WritableLayer};

/// What an instance's root is made of.
#[derive(Debug, Clone)]
pub struct Layers<'a> {
    /// The image's root directory.
    pub image: &'a Path,
    /// The workspace's own writes.
    pub writable: &'a WritableLayer,
    /// What lies between.
    pub scaffold: &'a [Entry],
    /// An empty directory of the instance to work in.
    pub at: &'a Path,
}

/// A step of putting a root together that failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct OverlayError {
    /// Which one.
    pub step: Step,
    /// The same in words.
    pub doing: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The steps, for hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A mount namespace of our own.
    Namespace,
    /// The user namespace that carries the mapping of ids.
    UserNamespace,
    /// The image, seen through that mapping.
    MapImage,
    /// The layer between.
    Scaffold,
    /// The overlay itself.
    Overlay,
}

/// Puts the root together. Blocks.
pub fn assemble(layers: &Layers<'_>) -> Result<OwnedFd, OverlayError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("assemble-root".into()).spawn_scoped(scope, || in_own_namespace(layers));
        let thread = thread.map_err(|source| failed(Step::Namespace, "start a thread", source))?;
        thread.join().unwrap_or_else(|_| Err(failed(Step::Namespace, "run a thread", io::Error::other("it panicked"))))
    })
}

fn in_own_namespace(layers: &Layers<'_>) -> Result<OwnedFd, OverlayError> {
    let private = || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        fs::create_dir_all(layers.at)?;
        Ok(mount("crannog", layers.at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755,size=16m")?)
    };
    private().map_err(|source| failed(Step::Namespace, "enter a mount namespace of its own", source))?;
    let base = layers.writable.range.base;
    let ids = sys::idmap::user_namespace(base, IdRange::SIZE)
        .map_err(|source| failed(Step::UserNamespace, "make a user namespace", source))?;
    let lower = layers.at.join("image");
    attach_mapped(layers.image, &lower, &ids)
        .map_err(|source| failed(Step::MapImage, &format!("map the owners of {}", layers.image.display()), source))?;
    let between = layers.at.join("scaffold");
    scaffold::build(&between, layers.image, layers.scaffold, base)
        .map_err(|source| failed(Step::Scaffold, "lay out mount points", source))?;
    overlay(layers).map_err(|source| failed(Step::Overlay, "mount the overlay", source))
}

/// A read-only copy of the mount that `source` is on, seen through `ids`: what belongs to 0 on disk belongs to the range's
/// base. Attached nowhere.
pub fn mapped_tree(source: &Path, ids: &OwnedFd) -> io::Result<OwnedFd> {
    let tree = open_tree(CWD, source, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let attributes = sys::mount::READ_ONLY | sys::mount::NO_DEV;
    sys::mount::set_attributes(&tree, attributes, Some(std::os::fd::AsFd::as_fd(ids)))?;
    Ok(tree)
}

fn attach_mapped(source: &Path, target: &Path, ids: &OwnedFd) -> io::Result<()> {
    fs::create_dir(target)?;
    let tree = mapped_tree(source, ids)?;
    Ok(move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// All paths are relative to the workplace, so that `mount` inside does not tell where the data directory is.
/// `redirect_dir=on`: renaming a directory of the image works, as `npm` and `git` expect.
fn overlay(layers: &Layers<'_>) -> io::Result<OwnedFd> {
    // The thread has a working directory of its own since it left the process's (CLONE_FS).
    std::env::set_current_dir(layers.at)?;
    fs::create_dir("merged")?;
    let (upper, work) = (below_writable(&layers.writable.upper)?, below_writable(&layers.writable.work)?);
    let options = format!("lowerdir=scaffold:image,upperdir={upper},workdir={work},redirect_dir=on");
    let options = std::ffi::CString::new(options)?;
    mount("overlay", "merged", "overlay", MountFlags::NODEV, options.as_c_str())?;
    let root = open_tree(CWD, "merged", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    sys::mount::set_attributes(&root, sys::mount::NO_DEV, None)?;
    Ok(root)
}

/// Upper and work directory must be on one mount: their parent is shown at `writable`, once.
fn below_writable(directory: &Path) -> io::Result<String> {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name().and_then(|name| name.to_str())) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let shown = Path::new("writable");
    if !shown.exists() {
        fs::create_dir(shown)?;
        let tree = open_tree(CWD, parent, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
        move_mount(&tree, "", CWD, shown, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    if !shown.join(name).is_dir() {
        return Err(io::Error::other(format!("{} is not beside the other one of upper and work", directory.display())));
    }
    Ok(format!("writable/{name}"))
}

fn failed(step: Step, doing: &str, source: io::Error) -> OverlayError {
    OverlayError { step, doing: doing.to_owned(), source }
}

/// Where an instance's root is put together, inside its bundle.
pub fn workplace(bundle: &Path) -> PathBuf {
    bundle.join("mnt")
}
