//! Network namespaces that have a name: bound to a file, so that they live without a process, and entered by a thread of
//! its own, so that no other thread ever is in the wrong one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Magic number of the file system that namespaces are in (`NSFS_MAGIC` of linux/magic.h).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Makes a new network namespace and binds it to a file, which is made when it is not there.
pub fn create(file: &Path) -> io::Result<()> {
    File::options().create(true).append(true).open(file)?;
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        mount(Some("/proc/thread-self/ns/net"), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    })
}

/// Whether a namespace is bound to a file. After a reboot the file is there and the namespace is not.
pub fn is_bound(file: &Path) -> io::Result<bool> {
    match rustix::fs::statfs(file) {
        Ok(found) => Ok(u64::try_from(found.f_type).is_ok_and(|magic| magic == NSFS_MAGIC)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Unbinds a namespace and removes its file; the namespace goes when the last process in it does. Bears repeating.
pub fn remove(file: &Path) -> io::Result<()> {
    while is_bound(file)? {
        umount2(file, MntFlags::MNT_DETACH)?;
    }
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs something on a thread that has entered a namespace, and that ends with it. Blocks until it is done.
pub fn run_in<T: Send>(file: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(file)?;
    on_own_thread(|| {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
        work()
    })
}

/// Two TCP sockets of a namespace, IPv4 and IPv6, not blocking and not connected. A socket stays in the namespace that it
/// was made in, so they may be connected from any thread.
pub fn tcp_sockets(file: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = |family| socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from);
    run_in(file, || Ok((open(AddressFamily::INET)?, open(AddressFamily::INET6)?)))
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).stack_size(256 * 1024).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a network namespace panicked")))
    })
}
