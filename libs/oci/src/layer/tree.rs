//! The root file system while layers are applied. Parents are resolved by the kernel as after a chroot; the member
//! itself is always made anew, exclusively, in the directory held open.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sys::beneath;

use super::path::Place;
use super::whiteout::Marks;
use super::{Applied, Budget, LayerError, Limits, attributes};
use crate::archive::{Archive, Entry, Time};

/// Directories that the runtime mounts over: a link in their place would move the mount (TM-05).
pub const REQUIRED_DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];
/// Mode of directories that no layer describes.
const IMPLIED: Mode = Mode::from_raw_mode(0o755);
const NEW_FILE: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::WRONLY).union(OFlags::CLOEXEC);

/// A root to which one layer is applied.
pub struct Tree<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) marks: Marks,
    /// Times of directories, set when nothing is written in them any more.
    times: Vec<(PathBuf, Time)>,
    root_time: Option<Time>,
    /// The directory of the member before: most members are its neighbours.
    recent: Option<(PathBuf, Rc<OwnedFd>)>,
    deepest: usize,
}

impl<'a> Tree<'a> {
    pub fn new(root: BorrowedFd<'a>, depth: usize) -> Result<Self, LayerError> {
        let base = beneath::depth(root).map_err(LayerError::io("find", b"the root"))?;
        Ok(Self { root, marks: Marks::default(), times: Vec::new(), root_time: None, recent: None, deepest: base + depth })
    }

    /// A member that describes the root directory itself.
    pub fn set_root(&mut self, entry: &Entry, applied: &mut Applied) -> Result<(), LayerError> {
        if entry.kind != crate::archive::Kind::Directory {
            return Err(LayerError::refused(&entry.path, "the root must be a directory"));
        }
        attributes::check_owner(entry)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let root = beneath::open(self.root, "".as_ref(), flags, Mode::empty(), beneath::Follow::Never);
        attributes::set(&root.map_err(LayerError::io("open", &entry.path))?, entry, applied)?;
        self.root_time = Some(entry.mtime);
        Ok(())
    }

    pub fn directory(&mut self, place: &Place, entry: &Entry, applied: &mut Applied) -> Result<(), LayerError> {
        let parent = self.parent(place)?;
        let is_there = stat(&parent, place)?.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
        if !is_there {
            self.remove(&parent, place)?;
            rustix::fs::mkdirat(&*parent, &*place.name, IMPLIED).map_err(failed("make", place))?;
        }
        let made = beneath::open_child_dir(&*parent, &place.name).map_err(LayerError::io("open", &place.written))?;
        attributes::set(&made, entry, applied)?;
        self.times.push((place.path(), entry.mtime));
        self.mark(&parent, place)
    }

    pub fn file<R: Read>(
        &mut self,
        place: &Place,
        entry: &Entry,
        archive: &mut Archive<R>,
        applied: &mut Applied,
        budget: &mut Budget,
    ) -> Result<(), LayerError> {
        let parent = self.parent(place)?;
        self.remove(&parent, place)?;
        let made = rustix::fs::openat(&*parent, &*place.name, NEW_FILE, Mode::from_raw_mode(0o600));
        let mut file = File::from(made.map_err(failed("make", place))?);
        write_data(&mut file, entry, archive, budget)?;
        let file = OwnedFd::from(file);
        attributes::set(&file, entry, applied)?;
        rustix::fs::futimens(&file, &attributes::times(entry.mtime)).map_err(failed("set the times of", place))?;
        self.mark(&parent, place)
    }

    pub fn symlink(&mut self, place: &Place, entry: &Entry, limits: Limits) -> Result<(), LayerError> {
        if entry.link.is_empty() || entry.link.len() >= limits.path || entry.link.contains(&0) {
            return Err(LayerError::refused(&place.written, "its target is empty or too long"));
        }
        let parent = self.parent(place)?;
        self.remove(&parent, place)?;
        let target = std::ffi::OsStr::from_bytes(&entry.link);
        rustix::fs::symlinkat(target, &*parent, &*place.name).map_err(failed("make", place))?;
        self.finish_special(&parent, place, entry)
    }

    pub fn fifo(&mut self, place: &Place, entry: &Entry, applied: &mut Applied) -> Result<(), LayerError> {
        let parent = self.parent(place)?;
        self.remove(&parent, place)?;
        let mode = Mode::from_raw_mode(entry.mode);
        rustix::fs::mknodat(&*parent, &*place.name, FileType::Fifo, mode, 0).map_err(failed("make", place))?;
        applied.attributes_dropped += entry.xattrs.len() as u64;
        self.finish_special(&parent, place, entry)?;
        // Made a line above in a directory nobody else writes to: it is the pipe, not a link.
        rustix::fs::chmodat(&*parent, &*place.name, mode, AtFlags::empty()).map_err(failed("set the mode of", place))
    }

    /// The target is a name in the image, found as members are; the last component is not followed.
    pub fn hard_link(&mut self, place: &Place, entry: &Entry, limits: Limits) -> Result<(), LayerError> {
        let refused = |problem| LayerError::refused(&place.written, problem);
        let target = Place::of(&entry.link, limits)?.ok_or_else(|| refused("it is a hard link to the root"))?;
        let parent = self.parent(place)?;
        let from = self.existing_parent(&target)?.ok_or_else(|| refused("it is a hard link to nothing"))?;
        let old = stat(&from, &target)?.ok_or_else(|| refused("it is a hard link to nothing"))?;
        if FileType::from_raw_mode(old.st_mode).is_dir() {
            return Err(refused("it is a hard link to a directory"));
        }
        let is_same = stat(&parent, place)?.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (old.st_dev, old.st_ino));
        if !is_same {
            self.remove(&parent, place)?;
            match rustix::fs::linkat(&*from, &*target.name, &*parent, &*place.name, AtFlags::empty()) {
                // What stood in the way was a directory that held the target.
                Err(Errno::NOENT) => return Err(refused("it is a hard link to something it replaces")),
                result => result.map_err(failed("link", place))?,
            }
        }
        self.mark(&parent, place)
    }

    /// Removes what stands where a member would be.
    pub fn clear(&mut self, place: &Place) -> Result<(), LayerError> {
        match self.existing_parent(place)? {
            Some(parent) => self.remove(&parent, place),
            None => Ok(()),
        }
    }

    /// Sets the times of directories. One that a later member replaced is passed over.
    pub fn finish(self) -> Result<(), LayerError> {
        for (path, time) in &self.times {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
            let opened = beneath::open_same_mount(self.root, path, flags, Mode::empty(), beneath::Follow::InRoot);
            if let Ok(directory) = opened {
                let name = path.as_os_str().as_bytes();
                rustix::fs::futimens(&directory, &attributes::times(*time))
                    .map_err(|error| LayerError::io("set the times of", name)(error.into()))?;
            }
        }
        if let Some(time) = self.root_time {
            rustix::fs::utimensat(self.root, ".", &attributes::times(time), AtFlags::empty())
                .map_err(|error| LayerError::io("set the times of", b"the root")(error.into()))?;
        }
        Ok(())
    }

    /// The directory of a member, made when it is missing.
    fn parent(&mut self, place: &Place) -> Result<Rc<OwnedFd>, LayerError> {
        if let Some((path, fd)) = &self.recent
            && *path == place.parent
        {
            return Ok(fd.clone());
        }
        let fd = beneath::ensure_dir(self.root, &place.parent, IMPLIED);
        let fd = Rc::new(fd.map_err(LayerError::io("make the directory of", &place.written))?);
        self.check_depth(&fd, place)?;
        self.recent = Some((place.parent.clone(), fd.clone()));
        Ok(fd)
    }

    /// The directory of a member, if it exists.
    pub(super) fn existing_parent(&self, place: &Place) -> Result<Option<Rc<OwnedFd>>, LayerError> {
        let flags = OFlags::DIRECTORY | OFlags::PATH;
        match beneath::open_same_mount(self.root, &place.parent, flags, Mode::empty(), beneath::Follow::InRoot) {
            Ok(fd) => Ok(Some(Rc::new(fd))),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
            Err(error) => Err(LayerError::io("open the directory of", &place.written)(error)),
        }
    }

    /// Links can lead deeper than a name is long; trees too deep could not be taken away again.
    fn check_depth(&self, parent: &OwnedFd, place: &Place) -> Result<(), LayerError> {
        let depth = beneath::depth(parent).map_err(LayerError::io("find", &place.written))?;
        match depth < self.deepest {
            true => Ok(()),
            false => Err(LayerError::refused(&place.written, "it lies too deep")),
        }
    }

    /// Removes whatever has the member's name; directories and links on the way to others may go with it.
    pub(super) fn remove(&mut self, parent: &OwnedFd, place: &Place) -> Result<(), LayerError> {
        let Some(stat) = stat(parent, place)? else {
            return Ok(());
        };
        if FileType::from_raw_mode(stat.st_mode).is_dir() || FileType::from_raw_mode(stat.st_mode).is_symlink() {
            self.recent = None;
        }
        beneath::remove_tree(parent, &place.name).map_err(LayerError::io("replace", &place.written))
    }

    pub(super) fn forget_recent(&mut self) {
        self.recent = None;
    }

    fn finish_special(&mut self, parent: &OwnedFd, place: &Place, entry: &Entry) -> Result<(), LayerError> {
        let (uid, gid) = attributes::owner(entry);
        let times = attributes::times(entry.mtime);
        rustix::fs::chownat(parent, &*place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the owner of", place))?;
        rustix::fs::utimensat(parent, &*place.name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the times of", place))?;
        self.mark(parent, place)
    }

    fn mark(&mut self, parent: &OwnedFd, place: &Place) -> Result<(), LayerError> {
        let directory = rustix::fs::fstat(parent).map_err(failed("look at", place))?;
        self.marks.add(directory.st_ino, &place.name);
        Ok(())
    }
}

/// Makes sure of [`REQUIRED_DIRECTORIES`].
pub fn check_required(root: BorrowedFd<'_>) -> Result<(), LayerError> {
    for directory in REQUIRED_DIRECTORIES {
        match rustix::fs::mkdirat(root, directory, IMPLIED) {
            Ok(()) => continue,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(LayerError::io("make", directory.as_bytes())(error.into())),
        }
        beneath::open_child_dir(root, directory.as_ref()).map_err(|_| LayerError::RootfsUnsafe { directory })?;
    }
    Ok(())
}

fn stat(parent: &OwnedFd, place: &Place) -> Result<Option<Stat>, LayerError> {
    match rustix::fs::statat(parent.as_fd(), &*place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed("look at", place)(error)),
    }
}

fn failed(doing: &'static str, place: &Place) -> impl FnOnce(Errno) -> LayerError {
    let error = LayerError::io(doing, &place.written);
    move |errno| error(errno.into())
}

fn write_data<R: Read>(file: &mut File, entry: &Entry, archive: &mut Archive<R>, budget: &mut Budget) -> Result<(), LayerError> {
    let whole = [(0, entry.size)];
    let mut buffer = vec![0; 128 * 1024];
    for (offset, length) in entry.segments.as_deref().unwrap_or(&whole) {
        file.seek(SeekFrom::Start(*offset)).map_err(LayerError::io("write", &entry.path))?;
        let mut left = *length;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = archive.read_data(&mut buffer[..want])?;
            budget.take_bytes(read)?;
            file.write_all(&buffer[..read]).map_err(LayerError::io("write", &entry.path))?;
            left -= read as u64;
        }
    }
    match entry.segments {
        Some(_) => file.set_len(entry.size).map_err(LayerError::io("write", &entry.path)),
        None => Ok(()),
    }
}
