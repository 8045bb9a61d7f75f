//! Deleting and measuring trees that a hostile user made: any depth, any names, changing under our hands. Every directory
//! is opened below the one before it, without following links and without leaving its mount.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::error::NodeError;

const SAFELY: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

/// Moves a directory into the trash and deletes it there: its name is free at once, and what a crash leaves is found
/// by [`empty_trash`]. Nothing to do where there is none.
pub fn discard(directory: &Path, trash: &Path) -> Result<(), NodeError> {
    let doing = || format!("delete {}", directory.display());
    refuse_mounts(directory)?;
    let target = trash.join(hex::encode(rand::random::<[u8; 12]>()));
    match std::fs::rename(directory, &target) {
        Ok(()) => remove_tree(&target, trash),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NodeError::io(doing())(error)),
    }
}

/// Deletes whatever lies in the trash.
pub fn empty_trash(trash: &Path) -> Result<(), NodeError> {
    let doing = || format!("empty {}", trash.display());
    let entries = std::fs::read_dir(trash).map_err(NodeError::io(doing()))?;
    for entry in entries {
        remove_tree(&entry.map_err(NodeError::io(doing()))?.path(), trash)?;
    }
    Ok(())
}

/// Deletes a tree below `trash`. Subdirectories are moved up into the trash before they are emptied, so that depth costs
/// neither stack nor descriptors.
fn remove_tree(tree: &Path, trash: &Path) -> Result<(), NodeError> {
    refuse_mounts(tree)?;
    flatten(tree, trash).map_err(NodeError::io(format!("delete {}", tree.display())))
}

fn flatten(tree: &Path, trash: &Path) -> io::Result<()> {
    let trash = rustix::fs::open(trash, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = tree.file_name().map(|name| CString::new(name.as_encoded_bytes())).transpose()?;
    let mut waiting = VecDeque::from_iter(name);
    while let Some(name) = waiting.pop_front() {
        let directory = match open_directory(&trash, &name) {
            Ok(directory) => directory,
            Err(rustix::io::Errno::NOENT) => continue,
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                rustix::fs::unlinkat(&trash, &name, AtFlags::empty())?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for entry in entries(&directory)? {
            match entry {
                (name, true) => {
                    let flat = CString::new(hex::encode(rand::random::<[u8; 12]>()))?;
                    rustix::fs::renameat(&directory, &name, &trash, &flat)?;
                    waiting.push_back(flat);
                }
                (name, false) => rustix::fs::unlinkat(&directory, &name, AtFlags::empty())?,
            }
        }
        rustix::fs::unlinkat(&trash, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Bytes on the disk of a tree; what vanishes meanwhile is not counted, nor what lies deeper than a path can name.
pub fn size(tree: &Path) -> Result<u64, NodeError> {
    let measure = || -> io::Result<u64> {
        let root = match rustix::fs::open(tree, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(root) => root,
            Err(rustix::io::Errno::NOENT) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = 0;
        let mut waiting = vec![PathBuf::from(".")];
        while let Some(path) = waiting.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let Ok(directory) = rustix::fs::openat2(&root, &path, flags, Mode::empty(), SAFELY) else { continue };
            for (name, is_directory) in entries(&directory)? {
                if let Ok(stat) = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    bytes += stat.st_blocks as u64 * 512;
                }
                if is_directory {
                    waiting.push(path.join(OsStr::from_bytes(name.to_bytes())));
                }
            }
        }
        Ok(bytes)
    };
    measure().map_err(NodeError::io(format!("measure {}", tree.display())))
}

fn open_directory(parent: &OwnedFd, name: &CString) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), SAFELY)
}

/// Names in a directory, and whether each is a directory itself.
fn entries(directory: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode),
            known => known,
        };
        found.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

/// Deleting through a mount that is still there would delete what is behind it: the worst thing a node can do.
fn refuse_mounts(directory: &Path) -> Result<(), NodeError> {
    let doing = || format!("look for mounts below {}", directory.display());
    let Ok(real) = rustix::fs::openat(CWD, directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
    drop(real);
    let real = directory.canonicalize().map_err(NodeError::io(doing()))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(NodeError::io(doing()))?;
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|point| Path::new(point).starts_with(&real));
    match below {
        None => Ok(()),
        Some(point) => Err(NodeError::io(doing())(io::Error::other(format!("{point} is still mounted")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_deeper_than_any_path_goes_and_a_link_out_of_it_is_not_followed() {
        let directory = tempfile::tempdir().expect("directory");
        let trash = directory.path().join("trash");
        let outside = directory.path().join("outside");
        std::fs::create_dir_all(&trash).expect("trash");
        std::fs::create_dir_all(&outside).expect("outside");
        std::fs::write(outside.join("precious"), "keep me").expect("file");
        let victim = directory.path().join("victim");
        std::fs::create_dir(&victim).expect("victim");
        std::os::unix::fs::symlink(&outside, victim.join("way-out")).expect("link");
        let mut here = rustix::fs::open(&victim, OFlags::DIRECTORY, Mode::empty()).expect("open");
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&here, "deeper", Mode::RWXU).expect("mkdir");
            here = rustix::fs::openat(&here, "deeper", OFlags::DIRECTORY, Mode::empty()).expect("open");
        }
        drop(here);

        discard(&victim, &trash).expect("deleted");
        assert!(!victim.exists());
        assert_eq!(std::fs::read_dir(&trash).expect("trash").count(), 0);
        assert_eq!(std::fs::read_to_string(outside.join("precious")).expect("still there"), "keep me");
    }

    #[test]
    fn what_a_crash_left_in_the_trash_is_found_and_deleted() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(directory.path().join("half/way")).expect("tree");
        std::fs::write(directory.path().join("file"), "").expect("file");
        empty_trash(directory.path()).expect("emptied");
        assert_eq!(std::fs::read_dir(directory.path()).expect("trash").count(), 0);
    }

    #[test]
    fn the_size_of_a_tree_counts_its_files_once() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir(directory.path().join("sub")).expect("sub");
        std::fs::write(directory.path().join("sub/file"), vec![1; 100_000]).expect("file");
        let size = size(directory.path()).expect("measured");
        assert!((100_000..200_000).contains(&size), "{size}");
    }
}
