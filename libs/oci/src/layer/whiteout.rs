//! Taking away what lower layers had. A whiteout never touches what its own layer wrote, whichever comes first in the
//! archive (OCI image spec, `layer.md`, "Whiteouts"), so what this layer wrote is remembered.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::BuildHasher;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sys::beneath;

use super::LayerError;
use super::path::Place;
use super::tree::Tree;

/// Members that this layer wrote: the inode of their directory and a keyed hash of their name. Sixteen bytes each, so
/// that millions of them are no way to use up memory; the key is fresh, so that nobody can aim for a collision. An inode
/// number that is used again belongs to a directory of this layer, all of whose content is this layer's anyhow.
#[derive(Default)]
pub struct Marks {
    known: HashSet<(u64, u64)>,
    key: RandomState,
}

impl Marks {
    pub fn add(&mut self, directory: u64, name: &OsStr) {
        self.known.insert((directory, self.key.hash_one(name)));
    }

    fn has(&self, directory: u64, name: &OsStr) -> bool {
        self.known.contains(&(directory, self.key.hash_one(name)))
    }
}

impl Tree<'_> {
    /// Removes what lower layers have under `name` in the place's directory.
    pub fn hide(&mut self, place: &Place, name: &OsStr) -> Result<(), LayerError> {
        let Some(directory) = self.existing_parent(place)? else {
            return Ok(());
        };
        self.forget_recent();
        let inode = rustix::fs::fstat(&*directory).map_err(std::io::Error::from);
        let inode = inode.map_err(LayerError::io("look at", &place.written))?.st_ino;
        sweep(directory.as_fd(), inode, name, &self.marks).map_err(LayerError::io("hide", &place.written)).map(drop)
    }

    /// Removes what lower layers have in the place's directory.
    pub fn hide_children(&mut self, place: &Place) -> Result<(), LayerError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let opened = beneath::open_same_mount(self.root, &place.parent, flags, Mode::empty(), beneath::Follow::InRoot);
        let directory = match opened {
            Ok(directory) => directory,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(()),
            Err(error) => return Err(LayerError::io("open the directory of", &place.written)(error)),
        };
        self.forget_recent();
        sweep_children(&directory, &self.marks).map_err(LayerError::io("empty", &place.written)).map(drop)
    }
}

/// Removes `name`, but for what is marked; returns whether anything stayed. Recursion is bounded by the depth that
/// trees may have.
fn sweep(directory: BorrowedFd<'_>, inode: u64, name: &OsStr, marks: &Marks) -> std::io::Result<bool> {
    let is_kept = marks.has(inode, name);
    match beneath::open_child_dir(directory, name) {
        Ok(inside) => {
            let has_kept = sweep_children(&inside, marks)?;
            if is_kept || has_kept {
                return Ok(true);
            }
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
            Ok(false)
        }
        Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Ok(false),
            Some(Errno::NOTDIR | Errno::LOOP) if is_kept => Ok(true),
            Some(Errno::NOTDIR | Errno::LOOP) => {
                rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
                Ok(false)
            }
            _ => Err(error),
        },
    }
}

fn sweep_children(directory: &OwnedFd, marks: &Marks) -> std::io::Result<bool> {
    let inode = rustix::fs::fstat(directory)?.st_ino;
    let mut has_kept = false;
    for (name, _) in beneath::children(directory)? {
        has_kept |= sweep(directory.as_fd(), inode, &name, marks)?;
    }
    Ok(has_kept)
}
