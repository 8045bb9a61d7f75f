//! Descriptors of processes: they never mean another process, however often its number is used again.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Opens a process by its number (pidfd_open(2)); ESRCH when there is none. Readable when it has ended.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Sends any signal by number (pidfd_send_signal(2)); 0 only asks whether the process can be signalled.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed, so it is open; a null siginfo is allowed and means "as kill(2) would".
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn a_signal_reaches_the_process_and_no_other_after_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pidfd = open(child.id() as i32).expect("pidfd");
        signal(&pidfd, libc::SIGTERM).expect("signal");
        assert_eq!(child.wait().expect("wait").signal(), Some(libc::SIGTERM));
        assert_eq!(signal(&pidfd, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
