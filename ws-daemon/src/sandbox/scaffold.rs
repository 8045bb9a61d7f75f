//! The layer between the image and the workspace's writes: mount points, and what hides parts of the machine from an
//! instance whose image is `host`. It lives in a tmpfs for as long as the root does and is never saved.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

/// One thing in the layer. Paths are absolute, as inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory that goes on showing what the image has in it.
    Directory(PathBuf),
    /// A directory in which nothing of the image is seen.
    Empty {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file in place of the image's.
    File {
        /// Which.
        path: PathBuf,
        /// What is in it.
        bytes: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// Its group inside.
        gid: u32,
    },
    /// The image's is not seen.
    Hidden(PathBuf),
}

/// Lays the entries out in `layer`, owned by the ids from `base` on. Directories on the way have the attributes that they
/// have in the image, because the upper layer's count.
pub fn build(layer: &Path, image: &Path, entries: &[Entry], base: u32) -> io::Result<()> {
    fs::create_dir(layer)?;
    give(layer, base, base, 0o755)?;
    let mut builder = Builder { layer, image, base, empty: BTreeSet::new() };
    entries.iter().try_for_each(|entry| builder.lay(entry))
}

struct Builder<'a> {
    layer: &'a Path,
    image: &'a Path,
    base: u32,
    empty: BTreeSet<PathBuf>,
}

impl Builder<'_> {
    fn lay(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Directory(path) => self.directory(path),
            Entry::Empty { path, mode } => self.empty(path, *mode),
            Entry::File { path, bytes, mode, gid } => self.file(path, bytes, *mode, *gid),
            Entry::Hidden(path) => self.hide(path),
        }
    }

    /// A directory and those above it, each like the image's.
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let here = below(self.layer, path);
        if path == Path::new("/") || here.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        self.parent(path)?;
        fs::create_dir(&here)?;
        if self.empty.iter().any(|empty| path.starts_with(empty)) {
            return give(&here, self.base, self.base, 0o755);
        }
        match fs::symlink_metadata(below(self.image, path)) {
            Ok(found) if found.is_dir() => {
                give(&here, self.base + found.uid().min(65_534), self.base + found.gid().min(65_534), found.mode() & 0o7777)
            }
            Ok(_) => Err(io::Error::other(format!("{} of the image is not a directory", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => give(&here, self.base, self.base, 0o755),
            Err(error) => Err(error),
        }
    }

    fn empty(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.parent(path)?;
        let here = below(self.layer, path);
        fs::create_dir(&here)?;
        setxattr(&here, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
        self.empty.insert(path.to_owned());
        give(&here, self.base, self.base, mode)
    }

    fn file(&mut self, path: &Path, bytes: &[u8], mode: u32, gid: u32) -> io::Result<()> {
        self.parent(path)?;
        let here = below(self.layer, path);
        fs::write(&here, bytes)?;
        give(&here, self.base, self.base + gid, mode)
    }

    /// A whiteout: a character device 0:0.
    fn hide(&mut self, path: &Path) -> io::Result<()> {
        self.parent(path)?;
        Ok(mknodat(CWD, below(self.layer, path), FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
    }

    fn parent(&mut self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn give(path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    chown(path, Some(uid), Some(gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
