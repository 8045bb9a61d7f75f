//! Makes single entries of a restored tree, relative to open directories; existing names are errors, never replaced.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Opened, Place};
use crate::capture::IdRange;
use crate::error::ContentError;
use crate::long_path::{join, open_long};
use crate::read;
use crate::repository::{Reader, Repository};
use crate::tree::{Entry, File, Meta};

/// One thread of a restore.
pub(super) struct Writer<'p> {
    place: &'p Place,
    ids: IdRange,
    reader: Reader<'p>,
    opened: Opened,
    privileged: bool,
}

impl<'p> Writer<'p> {
    pub fn new(repository: &'p Repository, place: &'p Place, ids: IdRange) -> Self {
        let privileged = rustix::process::geteuid().is_root();
        Self { place, ids, reader: repository.reader(), opened: None, privileged }
    }

    /// Makes a directory that only its owner can use; [`Writer::finish_dir`] gives it its attributes.
    pub fn make_dir(&mut self, dir: &[u8], name: &[u8]) -> Result<(), ContentError> {
        let failed = self.failed("make the directory", &join(dir, name));
        rustix::fs::mkdirat(self.dir(dir)?, OsStr::from_bytes(name), Mode::RWXU).map_err(failed)
    }

    /// Gives a directory its attributes, after everything below it was made.
    pub fn finish_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), ContentError> {
        let (failed, ids) = (self.failed("set the attributes of", path), self.owner(meta));
        let done = self.dir(path).map(|fd| set_all(fd, meta, ids))?;
        self.opened = None;
        done.map_err(failed)
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, dir: &[u8], entry: &Entry, target: &[u8]) -> Result<(), ContentError> {
        let failed = self.failed("make the link", &join(dir, &entry.name));
        let (ids, name) = (self.owner(&entry.meta), OsStr::from_bytes(&entry.name));
        let fd = self.dir(dir)?;
        rustix::fs::symlinkat(OsStr::from_bytes(target), fd, name)
            .and_then(|()| set_named(fd, name, &entry.meta, ids))
            .map_err(failed)
    }

    /// Makes a named pipe.
    pub fn fifo(&mut self, dir: &[u8], entry: &Entry) -> Result<(), ContentError> {
        let failed = self.failed("make the pipe", &join(dir, &entry.name));
        let (ids, name) = (self.owner(&entry.meta), OsStr::from_bytes(&entry.name));
        let fd = self.dir(dir)?;
        let mode = Mode::from_raw_mode(entry.meta.mode);
        rustix::fs::mknodat(fd, name, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .and_then(|()| set_owner_named(fd, name, ids))
            .and_then(|()| rustix::fs::chmodat(fd, name, mode, AtFlags::empty()))
            .and_then(|()| set_named(fd, name, &entry.meta, None))
            .map_err(failed)
    }

    /// Gives a file another name.
    pub fn link(&mut self, dir: &[u8], name: &[u8], first: &[u8]) -> Result<(), ContentError> {
        let failed = self.failed("link", &join(dir, name));
        let split = first.iter().rposition(|b| *b == b'/');
        let (first_dir, first_name) = split.map_or((&b""[..], first), |at| (&first[..at], &first[at + 1..]));
        let from = open_long(self.place.root.as_fd(), first_dir).map_err(self.failed("open the directory of", first))?;
        let (first_name, name) = (OsStr::from_bytes(first_name), OsStr::from_bytes(name));
        rustix::fs::linkat(&from, first_name, self.dir(dir)?, name, AtFlags::empty()).map_err(failed)
    }

    /// Makes a file: its data are checked on the way, then it gets its attributes.
    pub fn file(&mut self, dir: &[u8], entry: &Entry, file: &File) -> Result<(), ContentError> {
        let path = join(dir, &entry.name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = self.failed("make the file", &path);
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(self.dir(dir)?, OsStr::from_bytes(&entry.name), flags, mode).map_err(failed)?;
        self.data(fd.as_fd(), file, &path)?;
        set_all(fd.as_fd(), &entry.meta, self.owner(&entry.meta)).map_err(self.failed("set the attributes of", &path))
    }

    fn data(&mut self, fd: BorrowedFd<'_>, file: &File, path: &[u8]) -> Result<(), ContentError> {
        if !file.holes.is_empty() {
            rustix::fs::ftruncate(fd, file.size).map_err(self.failed("set the size of", path))?;
        }
        let (mut whole, dest) = (blake3::Hasher::new(), self.place.path(path));
        let hashed = file.chunks.len() > 1;
        read::data(&mut self.reader, file, 0, file.size, |at, bytes| {
            if hashed {
                whole.update(bytes);
            }
            write_at(fd, bytes, at).map_err(ContentError::file("write", &dest))
        })?;
        read::check_whole(file, &whole, path)
    }

    /// Owner and group on the node; `None` when we may not set them, or they are none of this range.
    fn owner(&self, meta: &Meta) -> Option<(Uid, Gid)> {
        if !self.privileged {
            return None;
        }
        Some((Uid::from_raw(self.ids.outside(meta.uid)?), Gid::from_raw(self.ids.outside(meta.gid)?)))
    }

    fn dir(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, ContentError> {
        if self.opened.as_ref().is_none_or(|(opened, _)| opened != path) {
            let fd = open_long(self.place.root.as_fd(), path).map_err(self.failed("open the directory", path))?;
            self.opened = None;
            return Ok(self.opened.insert((path.to_vec(), fd)).1.as_fd());
        }
        // Not empty: that was just looked at.
        Ok(self.opened.as_ref().map_or(self.place.root.as_fd(), |(_, fd): &(Vec<u8>, OwnedFd)| fd.as_fd()))
    }

    fn failed<E: Into<io::Error>>(&self, action: &'static str, path: &[u8]) -> impl FnOnce(E) -> ContentError + use<E> {
        ContentError::file(action, self.place.path(path))
    }
}

fn write_at(fd: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, at) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The order matters: a change of owner takes set-id bits and capabilities away, and all of it changes times.
fn set_all(fd: BorrowedFd<'_>, meta: &Meta, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    for (name, value) in meta.xattrs.iter().filter(|(name, _)| crate::capture::kept_xattr(name)) {
        rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty())?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode))?;
    rustix::fs::futimens(fd, &times(meta))
}

fn set_named(dir: BorrowedFd<'_>, name: &OsStr, meta: &Meta, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    set_owner_named(dir, name, owner)?;
    rustix::fs::utimensat(dir, name, &times(meta), AtFlags::SYMLINK_NOFOLLOW)
}

fn set_owner_named(dir: BorrowedFd<'_>, name: &OsStr, owner: Option<(Uid, Gid)>) -> Result<(), Errno> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(meta: &Meta) -> Timestamps {
    let time = Timespec { tv_sec: meta.mtime_s, tv_nsec: meta.mtime_ns.into() };
    Timestamps { last_access: time, last_modification: time }
}
