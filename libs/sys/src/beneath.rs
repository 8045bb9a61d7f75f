//! Opening, making and removing files below a directory descriptor with `openat2`, never following out of it. Trees
//! that a stranger wrote are only ever touched this way: a name is resolved once, by the kernel, and what it led to is
//! held as a descriptor.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What symbolic links on the way may do. Magic links (`/proc/PID/root`) are refused in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// The directory is `/`: absolute links and `..` stay inside, as after a chroot.
    InRoot,
    /// Links are followed as long as they stay below; one that leaves is an error (EXDEV).
    Beneath,
    /// Any link is an error (ELOOP).
    Never,
}

/// How often a lookup is tried again when the kernel saw a rename under way (EAGAIN).
const RACE_TRIES: usize = 64;
/// How many dangling links [`ensure_dir`] makes targets for, one within another.
const DANGLING_DEPTH: u8 = 8;
/// How deep a tree [`remove_tree`] descends; each level holds a descriptor.
const REMOVE_DEPTH: usize = 512;

/// Opens a path below `root`; `O_CLOEXEC` is added. The last component follows links too unless `O_NOFOLLOW` is given.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags, mode: Mode, follow: Follow) -> io::Result<OwnedFd> {
    resolve(root.as_fd(), path, flags, mode, follow, ResolveFlags::empty())
}

/// As [`open`], but a mount point on the way is an error (EXDEV).
pub fn open_same_mount(root: impl AsFd, path: &Path, flags: OFlags, mode: Mode, follow: Follow) -> io::Result<OwnedFd> {
    resolve(root.as_fd(), path, flags, mode, follow, ResolveFlags::NO_XDEV)
}

/// Opens a directory that we made ourselves, by its path on the node.
pub fn open_own_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens the directory `path` below `root` as if `root` were `/`, making what is missing with `mode`. A dangling link
/// on the way gets its target made, inside. Never leaves `root`, never crosses a mount.
pub fn ensure_dir(root: impl AsFd, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    ensure(root.as_fd(), path, mode, DANGLING_DEPTH)
}

/// How many directories lie between the file system's `/` of this process and the open directory `fd`.
pub fn depth(fd: impl AsFd) -> io::Result<usize> {
    let path = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()), Vec::new())?;
    Ok(path.to_bytes().iter().filter(|byte| **byte == b'/').count())
}

/// Names in an open directory, without `.` and `..`, with their types as far as the file system tells.
pub fn children(dir: impl AsFd) -> io::Result<Vec<(Box<OsStr>, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found.push((name_of(entry.file_name()), entry.file_type()));
        }
    }
    Ok(found)
}

/// Opens the subdirectory `name` (one component, never a link) of `dir` for reading.
pub fn open_child_dir(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
    open_same_mount(dir, Path::new(name), flags, Mode::empty(), Follow::Never)
}

/// Removes `name` (one component) from `dir`, with everything below it; links are removed, not followed. What is not
/// there is no error. A mount point below stops it (EXDEV), as does a tree deeper than 512.
pub fn remove_tree(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    remove(dir.as_fd(), name, REMOVE_DEPTH)
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    follow: Follow,
    also: ResolveFlags,
) -> io::Result<OwnedFd> {
    let how = also
        | ResolveFlags::NO_MAGICLINKS
        | match follow {
            Follow::InRoot => ResolveFlags::IN_ROOT,
            Follow::Beneath => ResolveFlags::BENEATH,
            Follow::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..RACE_TRIES {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

fn ensure(root: BorrowedFd<'_>, path: &Path, mode: Mode, links: u8) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::PATH;
    match open_same_mount(root, path, flags, Mode::empty(), Follow::InRoot) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        result => return result,
    }
    let mut walked = PathBuf::new();
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            _ => continue,
        };
        let parent = open_same_mount(root, &walked, flags, Mode::empty(), Follow::InRoot)?;
        let up = walked.clone();
        walked.push(name);
        if component == Component::ParentDir {
            continue;
        }
        match rustix::fs::mkdirat(&parent, name, mode) {
            Ok(()) => rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())?,
            Err(Errno::EXIST) => make_target(root, &parent, &up, name, mode, links)?,
            Err(error) => return Err(error.into()),
        }
    }
    open_same_mount(root, path, flags, Mode::empty(), Follow::InRoot)
}

/// `name` in `parent` exists. When it is a link that leads nowhere, the directory it means is made.
fn make_target(root: BorrowedFd<'_>, parent: &OwnedFd, up: &Path, name: &OsStr, mode: Mode, links: u8) -> io::Result<()> {
    let target = match rustix::fs::readlinkat(parent, name, Vec::new()) {
        Ok(target) => target,
        Err(Errno::INVAL) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let left = links.checked_sub(1).ok_or(Errno::LOOP)?;
    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
    // `join` lets an absolute target replace what came before: that is its meaning after a chroot.
    ensure(root, &up.join(target), mode, left).map(drop)
}

fn remove(dir: BorrowedFd<'_>, name: &OsStr, left: usize) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let left = left.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    let inside = open_child_dir(dir, name)?;
    for (child, _) in children(&inside)? {
        remove(inside.as_fd(), &child, left)?;
    }
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

fn name_of(name: &CStr) -> Box<OsStr> {
    OsStr::from_bytes(name.to_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::PATH);

    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let outer = tempfile::tempdir().expect("temp dir");
        fs::create_dir_all(outer.path().join("root/usr/bin")).expect("root");
        fs::write(outer.path().join("canary"), "alive").expect("canary");
        let root = open_own_dir(&outer.path().join("root")).expect("open");
        (outer, root)
    }

    #[test]
    fn an_absolute_link_means_the_root_it_lies_in() {
        let (outer, root) = tree();
        symlink("/usr/bin", outer.path().join("root/bin")).expect("link");
        open(&root, Path::new("bin"), DIR, Mode::empty(), Follow::InRoot).expect("inside");
        open(&root, Path::new("bin"), DIR, Mode::empty(), Follow::Beneath).expect_err("absolute leaves");
        open(&root, Path::new("bin"), DIR, Mode::empty(), Follow::Never).expect_err("a link");
    }

    #[test]
    fn dot_dot_does_not_climb_out() {
        let (outer, root) = tree();
        symlink("../../..", outer.path().join("root/up")).expect("link");
        let up = open(&root, Path::new("up"), DIR, Mode::empty(), Follow::InRoot).expect("stays");
        let (a, b) = (rustix::fs::fstat(&up).expect("stat"), rustix::fs::fstat(&root).expect("stat"));
        assert_eq!(a.st_ino, b.st_ino);
        open(&root, Path::new("../canary"), OFlags::RDONLY, Mode::empty(), Follow::Beneath).expect_err("leaves");
    }

    #[test]
    fn a_dangling_link_gets_its_target_made_inside() {
        let (outer, root) = tree();
        fs::create_dir(outer.path().join("root/var")).expect("var");
        symlink("/run", outer.path().join("root/var/run")).expect("link");
        ensure_dir(&root, Path::new("var/run/lock"), Mode::from_raw_mode(0o755)).expect("made");
        assert!(outer.path().join("root/run/lock").is_dir());
    }

    #[test]
    fn a_link_to_itself_ends_in_an_error() {
        let (outer, root) = tree();
        symlink("loop", outer.path().join("root/loop")).expect("link");
        symlink("b", outer.path().join("root/a")).expect("link");
        symlink("a", outer.path().join("root/b")).expect("link");
        for name in ["loop/x", "a/x"] {
            ensure_dir(&root, Path::new(name), Mode::from_raw_mode(0o755)).expect_err("a loop");
        }
    }

    #[test]
    fn removing_a_tree_leaves_what_its_links_point_to() {
        let (outer, root) = tree();
        symlink("../../canary", outer.path().join("root/usr/c")).expect("link");
        symlink("../..", outer.path().join("root/usr/d")).expect("link");
        remove_tree(&root, OsStr::new("usr")).expect("removed");
        remove_tree(&root, OsStr::new("usr")).expect("bears repeating");
        assert!(!outer.path().join("root/usr").exists());
        assert_eq!(fs::read_to_string(outer.path().join("canary")).expect("canary"), "alive");
    }

    #[test]
    fn depth_counts_directories() {
        let (outer, root) = tree();
        let usr = open_child_dir(&root, OsStr::new("usr")).expect("usr");
        let bin = open_child_dir(&usr, OsStr::new("bin")).expect("bin");
        assert_eq!(depth(&bin).expect("depth"), depth(&root).expect("depth") + 2);
        drop(outer);
    }
}
