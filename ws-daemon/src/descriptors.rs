//! Descriptors of ours in the reactor of tokio.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for a descriptor that `owner` owns, and closes only when it is dropped.
#[expect(deprecated, reason = "its successor is unsafe to call; every type given here owns its descriptor")]
pub fn watched<T: AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, interest)
}
