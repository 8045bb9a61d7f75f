//! User namespaces that only carry a mapping of ids, for id-mapped mounts (`mount::set_attributes`).

use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

/// Makes a user namespace in which the ids `0..count` are `base..base + count` outside. No process stays in it: the
/// descriptor keeps it. Needs root. EPERM, ENOSPC or EINVAL where user namespaces are forbidden, used up or not built in.
pub fn user_namespace(base: u32, count: u32) -> io::Result<OwnedFd> {
    let (pid, pidfd) = spawn_holder()?;
    let namespace = map(pid, base, count);
    pidfd_send_signal(&pidfd, Signal::KILL)?;
    // Without an exit signal the child is a "clone child": only waited for when asked for by name.
    waitid(WaitId::PidFd(rustix::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED | all_children())?;
    namespace
}

fn map(pid: i32, base: u32, count: u32) -> io::Result<OwnedFd> {
    let mapping = format!("0 {base} {count}\n");
    fs::write(format!("/proc/{pid}/uid_map"), &mapping)?;
    fs::write(format!("/proc/{pid}/gid_map"), &mapping)?;
    Ok(fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
}

fn all_children() -> WaitIdOptions {
    WaitIdOptions::from_bits_retain(libc::__WALL as u32)
}

/// A child in a new user namespace that waits to be killed.
fn spawn_holder() -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain data for which all zeroes is valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = (libc::CLONE_NEWUSER | libc::CLONE_PIDFD) as u64;
    arguments.pidfd = &raw mut pidfd as u64;
    // SAFETY: without CLONE_VM the child has its own copy of memory and of the stack; the arguments live through the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match pid {
        0 => wait_for_death(),
        pid if pid > 0 => {
            // SAFETY: the kernel has just made this descriptor for us and nobody else knows of it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok((pid as i32, pidfd))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the child of a threaded process may do: nothing that takes a lock. It dies with its parent thread too.
fn wait_for_death() -> ! {
    // SAFETY: prctl with these arguments touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        // SAFETY: pause only sleeps; it is async-signal-safe.
        unsafe { libc::pause() };
    }
}
