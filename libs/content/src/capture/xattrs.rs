//! Extended attributes of an open file: those that mean something elsewhere too.

use std::os::fd::BorrowedFd;

use rustix::fs::{fgetxattr, flistxattr};
use rustix::io::Errno;

/// Whether it is kept: users' own, file capabilities, and the two POSIX ACLs.
pub(crate) fn kept(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// Names and values, ascending; and the names of those that are not kept.
pub(super) type Found = (Vec<(Vec<u8>, Vec<u8>)>, Vec<Vec<u8>>);

/// Reads them all. `buffer` is scratch space.
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<Found, Errno> {
    buffer.resize(64 << 10, 0);
    let length = match flistxattr(fd, &mut buffer[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    if length == 0 {
        return Ok(Found::default());
    }
    let mut names: Vec<Vec<u8>> = buffer[..length].split(|b| *b == 0).filter(|n| !n.is_empty()).map(<[u8]>::to_vec).collect();
    names.sort_unstable();
    let (mut values, mut others) = (Vec::new(), Vec::new());
    for name in names {
        if !kept(&name) {
            others.push(name);
            continue;
        }
        match fgetxattr(fd, &name[..], &mut buffer[..]) {
            Ok(length) => values.push((name, buffer[..length].to_vec())),
            // Taken away since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((values, others))
}
