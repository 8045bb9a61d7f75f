//! Owners, modes, times and extended attributes of what was made.

use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Applied, LayerError};
use crate::archive::{Entry, Time};

/// Ids that a workspace has: 0 up to this.
const MAX_ID: u64 = 65_535;
/// Bytes of all attributes of one file that we try to store.
const MAX_XATTR_BYTES: usize = 64 * 1024;
/// `VFS_CAP_REVISION_2` without and with the effective bit; linux/capability.h. Revision 3 names a user namespace's root
/// by its id on the node, which an image cannot know.
const CAPABILITY_V2: [u32; 2] = [0x0200_0000, 0x0200_0001];

/// Refuses owners that do not exist in a workspace.
pub fn check_owner(entry: &Entry) -> Result<(), LayerError> {
    let owner = [entry.uid, entry.gid].into_iter().find(|id| *id > MAX_ID);
    match owner {
        None => Ok(()),
        Some(id) => Err(LayerError::Owner { path: String::from_utf8_lossy(&entry.path).chars().take(120).collect(), id }),
    }
}

/// Uid and gid as the calls want them; checked before.
pub fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid as u32)), Some(Gid::from_raw(entry.gid as u32)))
}

/// Sets owner, then mode (a change of owner takes setuid away), then attributes (it takes capabilities away, too).
pub fn set(fd: &OwnedFd, entry: &Entry, applied: &mut Applied) -> Result<(), LayerError> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(fd, uid, gid).map_err(|error| LayerError::io("set the owner of", &entry.path)(error.into()))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
        .map_err(|error| LayerError::io("set the mode of", &entry.path)(error.into()))?;
    for (name, value) in &entry.xattrs {
        applied.attributes_dropped += u64::from(!set_xattr(fd, entry, name, value)?);
    }
    Ok(())
}

/// Times for `utimensat`; access and change alike.
pub fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets one attribute; `false` when it is not for images to set, or this file system has none.
fn set_xattr(fd: &OwnedFd, entry: &Entry, name: &[u8], value: &[u8]) -> Result<bool, LayerError> {
    let total: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if !is_allowed(name, value) || total > MAX_XATTR_BYTES {
        return Ok(false);
    }
    match rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOTSUP | Errno::PERM | Errno::RANGE | Errno::TOOBIG | Errno::INVAL) => Ok(false),
        Err(error) => Err(LayerError::io("set an attribute of", &entry.path)(error.into())),
    }
}

/// `user.*` is data, but for what overlayfs would read as orders. A file capability is kept in the form that means "of
/// the user namespace that looks at it". Everything else (trusted.*, other security.*, ACLs) is the node's to give.
fn is_allowed(name: &[u8], value: &[u8]) -> bool {
    if name == b"security.capability" {
        let magic = value.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        return value.len() == 20 && magic.is_some_and(|magic| CAPABILITY_V2.contains(&magic));
    }
    name.len() > b"user.".len() && name.len() <= 255 && name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_and_plain_capabilities_may_be_set() {
        let mut capability = vec![0; 20];
        capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
        assert!(is_allowed(b"user.comment", b"x"));
        assert!(is_allowed(b"security.capability", &capability));
        let mut namespaced = vec![0; 24];
        namespaced[..4].copy_from_slice(&0x0300_0001_u32.to_le_bytes());
        assert!(!is_allowed(b"security.capability", &namespaced));
        assert!(!is_allowed(b"security.capability", b""));
        for name in ["trusted.overlay.opaque", "user.overlay.opaque", "security.selinux", "system.posix_acl_access", "user.", ""]
        {
            assert!(!is_allowed(name.as_bytes(), b"y"), "{name}");
        }
    }
}
