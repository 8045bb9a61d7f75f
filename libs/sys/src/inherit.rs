//! Starting a program with descriptors at chosen numbers.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Above every number that a caller chooses, so that no descriptor is overwritten before it has been placed.
const PARKED: RawFd = 64;

/// Gives `descriptors` to the program, each at its number (3..64), and closes the caller's when `command` is dropped.
/// Nothing else is inherited as long as everything else was opened close-on-exec, as Rust does.
pub fn at(command: &mut Command, descriptors: Vec<(OwnedFd, RawFd)>) -> io::Result<()> {
    let parked = descriptors
        .into_iter()
        .map(|(descriptor, number)| Ok((rustix::io::fcntl_dupfd_cloexec(&descriptor, PARKED)?, number)))
        .collect::<io::Result<Vec<_>>>()?;
    let place = move || {
        for (descriptor, number) in &parked {
            // SAFETY: dup2 touches no memory and is async-signal-safe; `number` belongs to the program to be started.
            if unsafe { libc::dup2(descriptor.as_raw_fd(), *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only reads its own memory and calls dup2.
    unsafe { command.pre_exec(place) };
    Ok(())
}

/// Takes over the descriptor `number` that this process was started with; once for each number. It is closed on exec from
/// now on. EBADF where the process was started without it.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed only for the next call, which fails with EBADF where it is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    let taken = rustix::io::fcntl_dupfd_cloexec(borrowed, PARKED)?;
    // SAFETY: the caller says that nobody else owns this number.
    unsafe { libc::close(number) };
    Ok(taken)
}
