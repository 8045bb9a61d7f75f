//! What happens between `fork` and `exec`, descriptors that a parent left open for us, and signals to groups.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Mutex;

/// Who a child is and what it starts with.
#[derive(Debug, Clone)]
pub struct ChildSetup {
    /// User to become; `None` changes no id at all.
    pub ids: Option<Ids>,
    /// Makes the standard input its controlling terminal. A new session is made in any case.
    pub controlling_terminal: bool,
    /// File mode creation mask.
    pub umask: u32,
    /// (RLIMIT_*, soft, hard).
    pub limits: Vec<(u32, u64, u64)>,
    /// Sets `no_new_privs` (prctl(2)): set-user-id programs give nothing.
    pub no_new_privileges: bool,
    /// Descriptors above 2 that the program gets all the same, under the numbers that they have here.
    pub keep: Vec<RawFd>,
    /// Added to the priority (setpriority(2)): 19 runs behind everything else.
    pub nice: i32,
    /// Capabilities that neither the program nor anything it starts can ever have (capabilities(7), bounding set). Only
    /// together with `ids`.
    pub never: Vec<u32>,
}

/// Looks into processes of other users (linux/capability.h).
pub const CAP_SYS_PTRACE: u32 = 19;

/// The ids of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Makes a command start by `setup`: new session, no descriptor above 2, default signals, ids last.
pub fn prepare(command: &mut Command, setup: ChildSetup) {
    // SAFETY: `enter` makes only raw system calls on memory that was allocated before the fork, so it is
    // async-signal-safe: setsid, ioctl, umask, setrlimit, signal, close_range, fcntl, setpriority, setgroups, setgid, setuid, prctl.
    unsafe { command.pre_exec(move || enter(&setup)) };
}

fn enter(setup: &ChildSetup) -> io::Result<()> {
    // SAFETY: setsid(2) takes nothing and touches no memory.
    check(unsafe { libc::setsid() })?;
    if setup.controlling_terminal {
        // SAFETY: TIOCSCTTY takes a number, not a pointer.
        check(unsafe { libc::ioctl(0, libc::TIOCSCTTY as _, 0) })?;
    }
    // SAFETY: umask(2) takes a number and cannot fail.
    unsafe { libc::umask(setup.umask as libc::mode_t) };
    for &(resource, soft, hard) in &setup.limits {
        let limit = libc::rlimit { rlim_cur: soft as _, rlim_max: hard as _ };
        // SAFETY: `limit` lives through the call.
        check(unsafe { libc::setrlimit(resource as _, &raw const limit) })?;
    }
    default_signals();
    // Close-on-exec instead of closing: the standard library still needs its own descriptor to report a failed exec.
    // SAFETY: close_range(2) takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } as i32)?;
    for &kept in &setup.keep {
        // SAFETY: F_SETFD takes numbers only.
        check(unsafe { libc::fcntl(kept, libc::F_SETFD, 0) })?;
    }
    if setup.nice > 0 {
        // SAFETY: setpriority(2) takes numbers only.
        check(unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, setup.nice) })?;
    }
    become_user(setup)
}

fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; numbers that cannot be set answer with an error, which is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn become_user(setup: &ChildSetup) -> io::Result<()> {
    if setup.no_new_privileges {
        // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    }
    let Some(ids) = &setup.ids else { return Ok(()) };
    for &capability in &setup.never {
        // SAFETY: PR_CAPBSET_READ takes numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(capability)) } == 1 {
            // SAFETY: PR_CAPBSET_DROP takes numbers only.
            check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability)) })?;
        }
    }
    // SAFETY: the slice lives through the call and its length is its own. Raw system calls: the C library's wrappers
    // would try to signal threads that do not exist after a fork.
    check(unsafe { libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()) } as i32)?;
    // SAFETY: setresgid(2) takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid) } as i32)?;
    // SAFETY: setresuid(2) takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid) } as i32)
}

fn check(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes ownership of a descriptor that the parent left open under an agreed number, and sets close-on-exec. Each
/// number can be taken once, 0 to 2 never; EBADF when nothing is open there.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD on a number; fails with EBADF when it is not open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if number <= 2 || !taken.insert(number) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and the set above keeps this function from giving it out twice; by the agreement with the
    // parent nobody else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a second descriptor, close-on-exec, for what is open under a number (fcntl(2) F_DUPFD_CLOEXEC): for libraries
/// that give only the number of what they own. EBADF when nothing is open there.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes numbers only.
    let new = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    check(new)?;
    // SAFETY: the kernel has just made it for us; nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Sends any signal by number to a process (kill(2)): `pid` < -1 is a group, -1 is everybody but the caller.
/// The caller makes sure that the number still means what it meant.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes numbers only.
    check(unsafe { libc::kill(pid, signal) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_inherits_no_descriptor_and_starts_in_its_own_session() {
        let leaked = std::fs::File::open("/dev/null").expect("file");
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("inheritable");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ls /proc/self/fd | wc -l; umask; cut -d' ' -f1,6 /proc/$$/stat"]);
        prepare(
            &mut command,
            ChildSetup {
                ids: None,
                controlling_terminal: false,
                umask: 0o27,
                limits: vec![],
                no_new_privileges: true,
                keep: vec![],
                nice: 0,
                never: vec![],
            },
        );
        let output = String::from_utf8(command.output().expect("output").stdout).expect("text");
        let lines: Vec<&str> = output.lines().collect();
        // 0, 1, 2 and the directory that ls itself has open.
        assert_eq!(lines[..2], ["4", "0027"]);
        let (pid, session) = lines[2].split_once(' ').expect("two fields");
        assert_eq!(pid, session);
        drop(leaked);
    }

    #[test]
    fn a_descriptor_that_is_to_be_kept_is_there_under_its_number() {
        use std::os::fd::AsRawFd as _;
        let kept = crate::memfd::sealed("kept", b"words").expect("memfd");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("cat /proc/self/fd/{}; nice", kept.as_raw_fd())]);
        let keep = vec![kept.as_raw_fd()];
        let setup = ChildSetup {
            ids: None,
            controlling_terminal: false,
            umask: 0o22,
            limits: vec![],
            no_new_privileges: false,
            keep,
            nice: 19,
            never: vec![],
        };
        prepare(&mut command, setup);
        assert_eq!(String::from_utf8(command.output().expect("output").stdout).expect("text"), "words19\n");
    }

    #[test]
    fn a_failed_exec_is_still_reported() {
        let mut command = Command::new("/does/not/exist");
        prepare(
            &mut command,
            ChildSetup {
                ids: None,
                controlling_terminal: false,
                umask: 0o22,
                limits: vec![],
                no_new_privileges: false,
                keep: vec![],
                nice: 0,
                never: vec![],
            },
        );
        assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_inherited_descriptor_is_taken_once() {
        use std::os::fd::IntoRawFd as _;
        let number = std::fs::File::open("/dev/null").expect("file").into_raw_fd();
        assert!(inherited(number).is_ok());
        assert!(inherited(number).is_err());
        assert!(inherited(0).is_err());
    }
}
