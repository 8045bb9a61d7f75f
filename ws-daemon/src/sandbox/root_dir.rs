//! Reading and changing files of a root that hostile people wrote: every path is resolved by the kernel below the root's
//! descriptor (`openat2` with `RESOLVE_IN_ROOT`), so that no link in it leads out.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, fstat, mkdirat, openat, openat2, renameat, statat,
    unlinkat,
};

/// No file that is read here is bigger in an honest image.
const MOST_BYTES: u64 = 4 << 20;
/// For files that are not read into memory (a copied program).
const TEMPORARY: &str = ".crannog-new";

/// A root directory, and the ids that its owners have on the node.
#[derive(Debug)]
pub struct RootDir {
    root: OwnedFd,
    base: u32,
}

/// Who owns something inside, and what may be done with it.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// Uid inside.
    pub uid: u32,
    /// Gid inside.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

impl RootDir {
    /// `base` is what id 0 of the root is on the node.
    pub fn new(root: OwnedFd, base: u32) -> Self {
        Self { root, base }
    }

    /// Reads a regular file; `None` where there is none.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = match self.open(path, flags) {
            Ok(file) => File::from(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{path} of the image is not a regular file")));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Replaces a file whole, or makes it. What was there before, a link also, is gone.
    pub fn write(&self, path: &str, bytes: &[u8], owner: Owner) -> io::Result<()> {
        self.copy_in(path, &mut io::Cursor::new(bytes), owner)
    }

    /// The same from a reader.
    pub fn copy_in(&self, path: &str, from: &mut dyn io::Read, owner: Owner) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        let _ = unlinkat(&parent, TEMPORARY, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, TEMPORARY, flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(from, &mut file)?;
        self.give(&file, owner)?;
        file.flush()?;
        Ok(renameat(&parent, TEMPORARY, &parent, name)?)
    }

    /// Makes a directory where there is none, with those above it (0755 root's). Says whether it was made.
    pub fn make_dir(&self, path: &str, owner: Owner) -> io::Result<bool> {
        if self.is_dir(path) {
            return Ok(false);
        }
        if let Some(parent) = Path::new(path).parent().filter(|parent| *parent != Path::new("/")) {
            self.make_dir(&parent.to_string_lossy(), Owner { uid: 0, gid: 0, mode: 0o755 })?;
        }
        let (parent, name) = self.parent(path)?;
        mkdirat(&parent, name, Mode::RWXU)?;
        let directory =
            openat(&parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        self.give(&directory, owner)?;
        Ok(true)
    }

    /// Makes an empty regular file of what is there, unless it is one.
    pub fn make_plain_file(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => Ok(()),
            _ => self.write(path, b"", Owner { uid: 0, gid: 0, mode: 0o644 }),
        }
    }

    /// Copies the regular files of a directory (one level) into another one; what is there already stays.
    pub fn copy_files(&self, from: &str, to: &str, uid: u32, gid: u32) -> io::Result<()> {
        let Ok(directory) = self.open(from, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC) else { return Ok(()) };
        for entry in rustix::fs::Dir::read_from(&directory)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = format!("{to}/{name}");
            if name == "." || name == ".." || self.exists(&target) {
                continue;
            }
            if let Ok(Some(bytes)) = self.read(&format!("{from}/{name}")) {
                self.write(&target, &bytes, Owner { uid, gid, mode: 0o644 })?;
            }
        }
        Ok(())
    }

    /// Whether something is there, links followed inside the root.
    pub fn exists(&self, path: &str) -> bool {
        self.open(path, OFlags::PATH | OFlags::CLOEXEC).is_ok()
    }

    /// Whether a directory is there.
    pub fn is_dir(&self, path: &str) -> bool {
        self.open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC).is_ok()
    }

    /// Permissions (with the set-id bits) of a regular file.
    pub fn file_mode(&self, path: &str) -> Option<u32> {
        let found = fstat(self.open(path, OFlags::PATH | OFlags::CLOEXEC).ok()?).ok()?;
        (FileType::from_raw_mode(found.st_mode) == FileType::RegularFile).then_some(found.st_mode & 0o7777)
    }

    /// Whether a program that can be executed is there.
    pub fn is_program(&self, path: &str) -> bool {
        self.file_mode(path).is_some_and(|mode| mode & 0o111 != 0)
    }

    /// Changes who owns a directory.
    pub fn chown_dir(&self, path: &str, owner: Owner) -> io::Result<()> {
        self.give(self.open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?, owner)
    }

    /// Uid inside of what is there; `None` where nothing is, or an id of nobody here.
    pub fn owner_of(&self, path: &str) -> Option<u32> {
        let found = fstat(self.open(path, OFlags::PATH | OFlags::CLOEXEC).ok()?).ok()?;
        found.st_uid.checked_sub(self.base)
    }

    fn give(&self, what: impl std::os::fd::AsFd, owner: Owner) -> io::Result<()> {
        let what = what.as_fd();
        fchown(what, Some(Uid::from_raw(self.base + owner.uid)), Some(Gid::from_raw(self.base + owner.gid)))?;
        // After the change of owner, which takes set-id bits away.
        Ok(fchmod(what, Mode::from_raw_mode(owner.mode))?)
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // Relative, so that even a mistake in the line above could not name a file of the machine.
        let path = match path.trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        Ok(openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve)?)
    }

    /// The directory that a path's last part is in.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (parent, name) = path.rsplit_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        let parent = if parent.is_empty() { "/" } else { parent };
        Ok((self.open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)?, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (tempfile::TempDir, RootDir) {
        let directory = tempfile::tempdir().expect("directory");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, directory.path(), flags, Mode::empty()).expect("root");
        (directory, RootDir::new(root, nix::unistd::getuid().as_raw()))
    }

    #[test]
    fn a_link_out_of_the_root_stays_inside() {
        let (directory, root) = own();
        std::fs::create_dir(directory.path().join("etc")).expect("etc");
        std::os::unix::fs::symlink("/etc/../../../etc", directory.path().join("out")).expect("link");
        std::fs::write(directory.path().join("etc/passwd"), "inside").expect("file");
        assert_eq!(root.read("/out/passwd").expect("read").as_deref(), Some(b"inside".as_slice()));
    }

    #[test]
    fn a_link_in_place_of_a_file_is_replaced_and_not_followed() {
        let (directory, root) = own();
        let outside = tempfile::NamedTempFile::new().expect("file");
        std::os::unix::fs::symlink(outside.path(), directory.path().join("passwd")).expect("link");
        root.write("/passwd", b"new", Owner { uid: 0, gid: 0, mode: 0o644 }).expect("write");
        assert_eq!(std::fs::read(outside.path()).expect("outside"), b"");
        assert_eq!(std::fs::read(directory.path().join("passwd")).expect("inside"), b"new");
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused_and_does_not_hang() {
        let (directory, root) = own();
        nix::unistd::mkfifo(&directory.path().join("passwd"), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
        assert!(root.read("/passwd").is_err());
    }
}
