//! Bytes to a supervisor, a port or a node: the node is asked on its stream, dials back with the tunnel's id, and from
//! then on both ends read and write. Back-pressure is that of the two gRPC streams; one message is in flight each way.

mod io;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::v1::open_tunnel::Target;
use api::v1::{ErrorDetail, OpenTunnel, TunnelFrame};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

pub use io::Tunnel;

use crate::error::WorkspaceError;
use crate::nodes::SharedNodes;
use crate::ports::Clock;
use crate::workspaces::record::new_id;

/// The two ends of the call by which a node dialled back.
pub struct Answer {
    /// What the node sends, the first frame left out.
    pub incoming: Streaming<TunnelFrame>,
    /// What it gets.
    pub outgoing: mpsc::Sender<Result<TunnelFrame, Status>>,
    /// The first frame.
    pub first: TunnelFrame,
}

/// Those who wait for a node to dial back, by tunnel id.
type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Answer>>>>;

/// Opens tunnels.
#[derive(Clone)]
pub struct Tunnels {
    nodes: SharedNodes,
    clock: Arc<dyn Clock>,
    waiting: Waiting,
    deadline: Duration,
}

/// Takes an id off the list however the wait ends.
struct Registration {
    waiting: Waiting,
    id: String,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Tunnels {
    /// With so much time for a node to dial back.
    pub fn new(nodes: SharedNodes, clock: Arc<dyn Clock>, deadline: Duration) -> Self {
        Self { nodes, clock, waiting: Waiting::default(), deadline }
    }

    /// Opens one, or says why it cannot be had.
    pub async fn open(&self, node: &str, target: Target) -> Result<Tunnel, WorkspaceError> {
        let id = new_id();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
        let _registration = Registration { waiting: self.waiting.clone(), id: id.clone() };
        if !self.nodes.open_tunnel(node, OpenTunnel { id, target: Some(target) }) {
            return Err(WorkspaceError::NodeAway { node: node.into() });
        }
        let answer = tokio::select! {
            answer = answer => answer.map_err(|_| WorkspaceError::NodeAway { node: node.into() })?,
            () = self.clock.sleep(self.deadline) => {
                return Err(WorkspaceError::TunnelDeadline { node: node.into(), seconds: self.deadline.as_secs() });
            }
        };
        match refusal(&answer.first) {
            Some(detail) => Err(WorkspaceError::Remote(detail)),
            None => Ok(Tunnel::new(answer)),
        }
    }

    /// A node has dialled back. Ids that nobody waits for (any more) are refused.
    pub fn answer(&self, answer: Answer) -> Result<(), WorkspaceError> {
        let waiter = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&answer.first.id);
        let waiter = waiter.ok_or(WorkspaceError::Protocol("nobody waits for this tunnel"))?;
        waiter.send(answer).map_err(|_| WorkspaceError::Protocol("nobody waits for this tunnel any more"))
    }
}

/// Why the node could not connect, if it says so.
fn refusal(frame: &TunnelFrame) -> Option<ErrorDetail> {
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    (!frame.error.is_empty()).then(|| ErrorDetail {
        class: or(&frame.error_class, "unavailable"),
        reason: or(&frame.error_reason, "Unavailable"),
        message: frame.error.clone(),
        hint: String::new(),
    })
}
