//! What an instance's actor is told: by the orchestrator, by its own work, and by those who watch the container.

use api::v1::{Condition, InstanceSpec, SupervisorState, Usage, Visibility};
use domain::phase::Event;
use tokio::sync::oneshot;

use crate::error::NodeError;
use crate::ports::{InstanceNetwork, PreparedImage, Running, WritableLayer};
use crate::store::StopRequest;

/// Answered when what was asked is stored.
pub type Answer = oneshot::Sender<Result<(), NodeError>>;

/// What an actor handles, one at a time.
#[derive(Debug)]
pub enum Message {
    /// The orchestrator wants it to be like this.
    Apply(Box<InstanceSpec>, Answer),
    /// Somebody wants it stopped.
    Stop(StopRequest, Answer),
    /// It is to go; `true`: with what its workspace keeps.
    Remove(bool, Answer),
    /// The owner chose how a port is shown.
    SetPort(u16, Visibility),
    /// Something happened, maybe because of an error that a condition tells.
    Happened(Event, Option<Condition>),
    /// A condition is known to hold, or not.
    Condition(Condition),
    /// Everything is there to make a container of.
    Prepared(Box<Prepared>),
    /// A container runs.
    Started(Running),
    /// What the supervisor says, unchecked.
    Supervisor(Box<SupervisorState>),
    /// What it uses.
    Usage(Usage),
    /// Bytes that the workspace holds on this node's disk.
    Disk(u64),
    /// The timeline has news.
    Changed,
    /// Container, mounts, cgroups and network are gone.
    Released,
}

/// Image, content and network of one instance, ready.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The lower.
    pub image: PreparedImage,
    /// The upper.
    pub layer: WritableLayer,
    /// The way out.
    pub network: InstanceNetwork,
    /// A bundle to clone from.
    pub bundle: Option<std::path::PathBuf>,
    /// The content was brought in by an earlier instance.
    pub content_ready: bool,
    /// `init` was run by an earlier instance.
    pub init_done: bool,
}
