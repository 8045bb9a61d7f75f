//! The two doors. [`instance`] is for the node, on its socket; [`gitpod`] is for programs inside, on loopback.

pub mod attach;
pub mod exec;
pub mod fault;
pub mod gitpod;
pub mod instance;
pub mod logs;

use std::pin::Pin;

use futures::Stream;
use tonic::Status;

/// Answers that come one after the other.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers between a producer and the wire: small, as each may have 64 KiB. A full one is the back-pressure.
pub(crate) const ANSWERS: usize = 8;
