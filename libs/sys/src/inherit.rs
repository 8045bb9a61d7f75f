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
    let parked =
        descriptors.into_iter().map(|(descriptor, number)| Ok((park(&descriptor)?, number))).collect::<io::Result<Vec<_>>>()?;
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

/// The same descriptor at a number that no program is given (64 or above), closed on exec. A program that is executed by
/// `/proc/self/fd/N` must be at such a number, or one of its own descriptors would be executed in its place.
pub fn park(descriptor: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, PARKED)?)
}

/// Takes over the descriptor `number` that this process was started with; once for each number. It is closed on exec from
/// now on. EBADF where the process was started without it.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: borrowed only for the next call, which fails with EBADF where it is not open.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
    let taken = park(borrowed)?;
    // SAFETY: the caller says that nobody else owns this number.
    unsafe { libc::close(number) };
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn descriptors_arrive_at_their_numbers_even_where_these_are_in_use() -> io::Result<()> {
        let (first, mut said) = std::os::unix::net::UnixStream::pair()?;
        let (second, mut also) = std::os::unix::net::UnixStream::pair()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo three >&3; echo four >&4"]);
        at(&mut command, vec![(first.into(), 3), (second.into(), 4)])?;
        assert!(command.status()?.success());
        drop(command);
        let (mut three, mut four) = (String::new(), String::new());
        said.read_to_string(&mut three)?;
        also.read_to_string(&mut four)?;
        assert_eq!((three.as_str(), four.as_str()), ("three\n", "four\n"));
        Ok(())
    }

    #[test]
    fn a_parked_descriptor_is_out_of_the_way() -> io::Result<()> {
        assert!(park(std::fs::File::open("/dev/null")?)?.as_raw_fd() >= PARKED);
        Ok(())
    }
}
