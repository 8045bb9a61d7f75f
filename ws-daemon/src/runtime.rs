//! OCI runtimes: what turns a bundle (`config.json` and a root) into a running container.
//!
//! The embedded one is this very binary, started again as a helper ([`reexec`]) that calls libcontainer in a single thread
//! and exits, so that PID 1 of the container is nobody's child but the machine's. Any runtime with the OCI command line
//! (`runc`, `crun`, `youki`, `runsc`) can stand in for it.

pub mod bundle;
mod embedded;
mod executor;
mod external;
mod helper;
mod stage;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::error::NodeError;

pub use embedded::Embedded;
pub use external::External;
pub use helper::reexec;

/// A container to be made. The descriptors go to PID 1 at the numbers that its environment names.
#[derive(Debug)]
pub struct Creation {
    /// Container id.
    pub id: String,
    /// Directory with `config.json`.
    pub bundle: PathBuf,
    /// The root, as a mount that is attached nowhere yet.
    pub root: OwnedFd,
    /// The socket on which the supervisor listens.
    pub api: OwnedFd,
    /// The supervisor's configuration, a sealed memory file.
    pub config: OwnedFd,
    /// Where what PID 1 writes to stdout and stderr goes.
    pub log: OwnedFd,
}

/// Numbers of the descriptors that PID 1 finds, in the order in which the helper gets them.
pub const API_FD: i32 = 3;
/// See [`API_FD`].
pub const CONFIG_FD: i32 = 4;

/// State of a container, as the OCI runtime specification names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none of this id.
    Absent,
    /// Made or being made; its program has not been started.
    Created,
    /// Its program was started.
    Running,
    /// It has ended; its state is still kept.
    Stopped,
}

/// Calls block: use them from a blocking thread.
pub trait Runtime: Send + Sync + 'static {
    /// Makes the container up to the point where only its program has to be started.
    fn create(&self, creation: Creation) -> Result<(), NodeError>;
    /// Starts its program.
    fn start(&self, id: &str, bundle: &Path) -> Result<(), NodeError>;
    /// Says what is known of it.
    fn state(&self, id: &str, bundle: &Path) -> Result<State, NodeError>;
    /// Sends a signal to PID 1.
    fn kill(&self, id: &str, bundle: &Path, signal: i32) -> Result<(), NodeError>;
    /// Forgets it; what still runs is killed. Bears repeating.
    fn delete(&self, id: &str, bundle: &Path) -> Result<(), NodeError>;
}

/// The `status` and `pid` of an OCI state document.
#[derive(Debug, serde::Deserialize)]
struct StateDocument {
    status: String,
    #[serde(default)]
    pid: Option<i32>,
}

impl StateDocument {
    fn state(&self) -> State {
        match self.status.to_ascii_lowercase().as_str() {
            "running" | "paused" => State::Running,
            "stopped" => State::Stopped,
            _ => State::Created,
        }
    }
}
