//! The mount calls that `nix` and `rustix` do not offer: `mount_setattr(2)`. The rest of the mount API is `rustix::mount`.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

/// Writing is refused (`MOUNT_ATTR_RDONLY`).
pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// Set-user-id bits and file capabilities are ignored (`MOUNT_ATTR_NOSUID`).
pub const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// Device nodes cannot be opened (`MOUNT_ATTR_NODEV`).
pub const NO_DEV: u64 = libc::MOUNT_ATTR_NODEV;
/// Programs cannot be executed (`MOUNT_ATTR_NOEXEC`).
pub const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

/// Sets attributes of the mount that `mount` stands for (an `open_tree` or `fsmount` descriptor); with `map`, its owners are
/// seen through that user namespace from now on (`MOUNT_ATTR_IDMAP`: only of a mount that is not attached yet). EINVAL where
/// the file system cannot be id-mapped; ENOSYS before Linux 5.12.
pub fn set_attributes(mount: impl AsFd, set: u64, map: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set | if map.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 },
        attr_clr: 0,
        propagation: 0,
        userns_fd: map.map_or(0, |map| map.as_raw_fd() as u64),
    };
    // SAFETY: the path is a NUL-terminated literal, `attributes` lives through the call and its true size is given; both
    // descriptors are borrowed, so they are open.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
