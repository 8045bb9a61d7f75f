//! Reads one directory: what each name is, and the bytes of its files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::super::file::{Failed, FileReader};
use super::super::stamps::Stamp;
use super::{Dir, Identity, Job, Linked, Walk};
use crate::error::ContentError;
use crate::index::Kind;
use crate::long_path::{join, open_long};
use crate::tree::{Entry, File, MAX_DEPTH, MAX_ENTRIES, Meta, Node, Subtree, Totals, Tree};

/// How often a name that becomes something else while it is opened is looked at again.
const TRIES: usize = 8;

/// One thread of a walk.
pub(super) struct Worker<'w> {
    walk: &'w Walk<'w>,
    files: FileReader<'w>,
    trees: crate::repository::Reader<'w>,
}

/// A directory while it is read.
struct Reading {
    fd: OwnedFd,
    path: Vec<u8>,
    depth: usize,
    before: Option<Tree>,
    dir: Dir,
    below: Vec<(Vec<u8>, Option<Tree>)>,
    read: (u64, u64),
}

impl<'w> Worker<'w> {
    pub fn new(walk: &'w Walk<'w>) -> Result<Self, ContentError> {
        let files = FileReader::new(walk.writer).map_err(ContentError::file("make a compressor for", &walk.plan.root))?;
        Ok(Self { walk, files, trees: walk.repository.reader() })
    }

    pub fn finish(&mut self) -> Result<(), ContentError> {
        self.files.finish()
    }

    /// Reads a directory and puts those below it on the stack.
    pub fn read_dir(&mut self, job: Job) -> Result<(), ContentError> {
        if job.depth > MAX_DEPTH {
            let error = ContentError::Invalid {
                what: "directory",
                value: crate::path_text::to_text(&job.path),
                why: "directories deeper than 4096 cannot be kept",
            };
            return Err(error);
        }
        let fd = match open_long(self.walk.root.as_fd(), &job.path) {
            Ok(fd) => fd,
            // Gone, or become something else, since it was seen: it stays as the empty directory it then was.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(Errno::XDEV) => {
                self.walk.state().notes.omit(&job.path, "another file system is mounted here");
                return Ok(());
            }
            Err(error) => return Err(self.failed("open the directory", &job.path)(error)),
        };
        let mut names = sys::beneath::children(&fd).map_err(self.failed("list", &job.path))?;
        if names.len() > MAX_ENTRIES {
            let value = crate::path_text::to_text(&job.path);
            return Err(ContentError::Invalid { what: "directory", value, why: "it has more than 16777216 entries" });
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let Job { node, depth, path, before } = job;
        let dir = Dir { path: path.clone(), ..Dir::default() };
        let mut reading = Reading { fd, path, depth, before, dir, below: Vec::new(), read: (0, 0) };
        for (name, kind) in names {
            self.read_name(&mut reading, &name, kind)?;
        }
        self.hand_over(node, reading);
        Ok(())
    }

    fn hand_over(&self, node: usize, reading: Reading) {
        let Reading { path, depth, mut dir, below, read, .. } = reading;
        let mut state = self.walk.state();
        // The last is taken first: in reverse, so that names are read in their order.
        for (name, before) in below.into_iter().rev() {
            let child = state.dirs.len();
            state.dirs.push(Dir::default());
            let path = join(&path, &name);
            dir.children.insert(name, child);
            state.jobs.push(Job { node: child, depth: depth + 1, path, before });
        }
        state.read = (state.read.0 + read.0, state.read.1 + read.1);
        state.dirs[node] = dir;
        drop(state);
        self.walk.changed.notify_all();
    }

    fn read_name(&mut self, at: &mut Reading, name: &OsStr, listed: FileType) -> Result<(), ContentError> {
        let path = join(&at.path, name.as_bytes());
        let mut kind = listed;
        for _ in 0..TRIES {
            // A file that may be unchanged is not opened; one that will be read is looked at when it is open.
            if kind == FileType::RegularFile && at.before.is_none() {
                match self.open_file(at, name, &path)? {
                    true => return Ok(()),
                    false => kind = FileType::Unknown,
                }
                continue;
            }
            let stat = match statat(&at.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(()),
                stat => stat.map_err(self.failed("look at", &path))?,
            };
            if self.read_kind(at, name, &path, &stat)? {
                return Ok(());
            }
            kind = FileType::Unknown;
        }
        self.walk.state().notes.omit(&path, "it became something else each time it was opened");
        Ok(())
    }

    /// Reads what `stat` says is there; `false` when it became something else meanwhile.
    fn read_kind(&mut self, at: &mut Reading, name: &OsStr, path: &[u8], stat: &Stat) -> Result<bool, ContentError> {
        let omit = |why| {
            self.walk.state().notes.omit(path, why);
            Ok(true)
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if self.unchanged(at, name, path, stat) => Ok(true),
            FileType::RegularFile => self.open_file(at, name, path),
            FileType::Directory => self.note_dir(at, name, path),
            FileType::Symlink => match readlinkat(&at.fd, name, Vec::new()) {
                Err(Errno::NOENT | Errno::INVAL) => Ok(false),
                target => {
                    let target = target.map_err(self.failed("read the link", path))?.into_bytes();
                    let meta = self.meta(path, stat, Default::default());
                    at.push(name, meta, Node::Symlink(target));
                    Ok(true)
                }
            },
            FileType::Fifo => {
                let meta = self.meta(path, stat, Default::default());
                at.push(name, meta, Node::Fifo);
                Ok(true)
            }
            FileType::Socket => omit("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => omit("a device"),
            FileType::Unknown => omit("of an unknown kind"),
        }
    }

    fn note_dir(&mut self, at: &mut Reading, name: &OsStr, path: &[u8]) -> Result<bool, ContentError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&at.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
            fd => fd.map_err(self.failed("open the directory", path))?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.failed("look at", path))?;
        let xattrs = self.files.xattrs(fd.as_fd()).map_err(self.failed("read extended attributes of", path))?;
        let meta = self.meta(path, &stat, xattrs);
        let before = match at.before.as_ref().and_then(|tree| tree.get(name.as_bytes())).map(|entry| &entry.node) {
            Some(Node::Dir(below)) => Some(self.trees.tree(below.digest)?),
            _ => None,
        };
        let below = Subtree { digest: crate::Digest([0; 32]), totals: Totals::default() };
        at.push(name, meta, Node::Dir(below));
        at.below.push((name.as_bytes().to_vec(), before));
        Ok(true)
    }

    /// Takes the file from the save before when nothing can have changed in it.
    fn unchanged(&mut self, at: &mut Reading, name: &OsStr, path: &[u8], stat: &Stat) -> bool {
        let Some(before) = &self.walk.plan.before else { return false };
        let Some(entry) = at.before.as_ref().and_then(|tree| tree.get(name.as_bytes())) else { return false };
        let Node::File(file) = &entry.node else { return false };
        let same = file.size == stat.st_size as u64
            && (entry.meta.mtime_s, i64::from(entry.meta.mtime_ns)) == (stat.st_mtime, stat.st_mtime_nsec as i64)
            && before.stamps.get(&at.path, name.as_bytes()) == Some(stamp(stat));
        let present = |file: &File| file.chunks.iter().all(|c| self.walk.repository.find(Kind::Chunks, c.digest).is_some());
        if !same || !present(file) {
            return false;
        }
        let file = File { link_group: 0, ..file.clone() };
        let meta = self.meta(path, stat, (entry.meta.xattrs.clone(), Vec::new()));
        self.keep_file(at, name, path, stat, file, meta);
        true
    }

    /// Opens and reads a regular file; `false` when it is something else by now.
    fn open_file(&mut self, at: &mut Reading, name: &OsStr, path: &[u8]) -> Result<bool, ContentError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match openat(&at.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(true),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(false),
            fd => fd.map_err(self.failed("open", path))?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(self.failed("look at", path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(false);
        }
        if let Some(file) = self.linked(&stat) {
            let xattrs = self.files.xattrs(fd.as_fd()).map_err(self.failed("read extended attributes of", path))?;
            let meta = self.meta(path, &stat, xattrs);
            self.keep_file(at, name, path, &stat, file, meta);
            return Ok(true);
        }
        let taken = self.files.take(fd.as_fd()).map_err(|failed| match failed {
            Failed::Read(error) => self.failed("read", path)(error),
            Failed::Store(error) => error,
        })?;
        at.read = (at.read.0 + 1, at.read.1 + taken.file.data_length());
        let meta = self.meta(path, &taken.stat, taken.xattrs);
        if taken.stable {
            self.keep_file(at, name, path, &taken.stat, taken.file, meta);
        } else {
            self.walk.state().notes.fuzzy(path);
            self.keep_links(path, &taken.stat, &taken.file);
            at.push(name, meta, Node::File(taken.file));
        }
        Ok(true)
    }

    /// The bytes of a file that was met under another name.
    fn linked(&self, stat: &Stat) -> Option<File> {
        if stat.st_nlink < 2 {
            return None;
        }
        self.walk.state().links.get(&identity(stat)).and_then(|linked| linked.file.clone())
    }

    fn keep_links(&self, path: &[u8], stat: &Stat, file: &File) {
        if stat.st_nlink > 1 {
            let mut state = self.walk.state();
            let links: &mut HashMap<Identity, Linked> = &mut state.links;
            let linked = links.entry(identity(stat)).or_default();
            linked.file.get_or_insert_with(|| file.clone());
            linked.paths.push(path.to_vec());
        }
    }

    fn keep_file(&self, at: &mut Reading, name: &OsStr, path: &[u8], stat: &Stat, file: File, meta: Meta) {
        self.keep_links(path, stat, &file);
        at.dir.stamps.push((name.as_bytes().to_vec(), stamp(stat)));
        at.push(name, meta, Node::File(file));
    }

    fn meta(&self, path: &[u8], stat: &Stat, xattrs: super::super::xattrs::Found) -> Meta {
        self.walk.meta(path, stat, xattrs)
    }

    fn failed<E: Into<std::io::Error>>(&self, action: &'static str, path: &[u8]) -> impl FnOnce(E) -> ContentError + use<E> {
        ContentError::file(action, full_path(&self.walk.plan.root, path))
    }
}

impl Walk<'_> {
    pub(super) fn root_meta(&self, stat: &Stat) -> Result<Meta, ContentError> {
        let mut files = FileReader::new(self.writer).map_err(ContentError::file("make a compressor for", &self.plan.root))?;
        let failed = ContentError::file("read extended attributes of", &self.plan.root);
        let xattrs = files.xattrs(self.root.as_fd()).map_err(failed)?;
        Ok(self.meta(b"", stat, xattrs))
    }

    fn meta(&self, path: &[u8], stat: &Stat, (xattrs, others): super::super::xattrs::Found) -> Meta {
        let ((uid, known), (gid, known_too)) = (self.plan.ids.inside(stat.st_uid), self.plan.ids.inside(stat.st_gid));
        if !(known && known_too && others.is_empty()) {
            let mut state = self.state();
            if !(known && known_too) {
                state.notes.omit(path, "its owner or group is outside the range and became nobody");
            }
            for name in others {
                state.notes.omit(path, &format!("the extended attribute {}", crate::path_text::to_text(&name)));
            }
        }
        let (mtime_s, mtime_ns) = (stat.st_mtime, stat.st_mtime_nsec as u32);
        Meta { mode: stat.st_mode & 0o7777, uid, gid, mtime_s, mtime_ns, xattrs }
    }
}

impl Reading {
    fn push(&mut self, name: &OsStr, meta: Meta, node: Node) {
        self.dir.entries.push(Entry { name: name.as_bytes().to_vec(), meta, node });
    }
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn stamp(stat: &Stat) -> Stamp {
    let changed_ns = stat.st_ctime.wrapping_mul(1_000_000_000).wrapping_add(stat.st_ctime_nsec as i64);
    Stamp { inode: stat.st_ino, changed_ns }
}

fn full_path(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}
