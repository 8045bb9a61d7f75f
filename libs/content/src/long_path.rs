//! Paths relative to an open directory, of any length: raw bytes, without a slash at their ends, empty for the directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::beneath::{Follow, open_same_mount};

/// How many bytes of a path the kernel takes at once, with room to spare.
const PATH_STEP: usize = 4000;

/// The path of `name` in `dir`.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// Opens a directory below `root` whose path may be longer than the kernel takes; no link is followed, no mount crossed.
pub(crate) fn open_long(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
    let (mut from, mut rest) = (None::<OwnedFd>, path);
    loop {
        let end = match rest.len() {
            0..PATH_STEP => rest.len(),
            _ => rest[..PATH_STEP].iter().rposition(|b| *b == b'/').unwrap_or(rest.len()),
        };
        let step = OsString::from(OsStr::from_bytes(&rest[..end]));
        let base = from.as_ref().map_or(root, AsFd::as_fd);
        let fd = open_same_mount(base, Path::new(&step), flags, Mode::empty(), Follow::Never);
        let fd = fd.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        rest = rest[end..].strip_prefix(b"/").unwrap_or_default();
        if rest.is_empty() {
            return Ok(fd);
        }
        from = Some(fd);
    }
}
