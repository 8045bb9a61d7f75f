//! The nodes: which are connected, what each has, and what it is told. State is level-triggered: what a node should do
//! is decided again from the whole at each change ([`domain::planner`]); a message that was lost is decided again.

mod link;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::v1::orchestrator_message::Message as Down;
use api::v1::{InstanceStatus, NodeHello, OpenTunnel, OrchestratorMessage, RemoveInstance, SetInstancePort, StopInstance};
use domain::phase::Phase;
use domain::planner::{self, Observed, Step};
use tokio::sync::{mpsc, watch};

use link::Link;
pub use link::LinkId;

use crate::workspaces::record::Record;

/// A node as `ServerInfo` and routes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its id.
    pub id: String,
    /// Whether its stream is up.
    pub connected: bool,
    /// What it runs.
    pub version: String,
    /// When it was heard last.
    pub last_heard: i64,
    /// Where an edge on the same machine gets connected sockets; empty when it offers none.
    pub dial_socket: String,
    /// Bytes of memory that instances may use; 0 when not known.
    pub memory: u64,
}

/// All nodes that have connected since this process began.
pub struct Nodes {
    links: Mutex<BTreeMap<String, Link>>,
    changes: watch::Sender<u64>,
    next_link: std::sync::atomic::AtomicU64,
}

/// What a node gets on its new stream.
pub struct Joined {
    /// Names the stream.
    pub link: LinkId,
    /// Whether the session goes on where it broke off.
    pub resumed: bool,
    /// The highest message of the node's that was handled in this session.
    pub handled: u64,
    /// What it is to be told, from now on.
    pub messages: mpsc::UnboundedReceiver<OrchestratorMessage>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { links: Mutex::default(), changes: watch::channel(0).0, next_link: 1.into() }
    }
}

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Tells of every node that comes or goes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A node has said hello. An older stream of the same node ends: the newer one wins.
    pub fn join(&self, hello: &NodeHello, ack: u64, now: i64) -> Joined {
        let id = self.next_link.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut links = self.lock();
        let link = links.entry(hello.node_id.clone()).or_default();
        let resumed = link.session_goes_on(&hello.session);
        let messages = link.connect(LinkId(id), hello, resumed, ack, now);
        let joined = Joined { link: LinkId(id), resumed, handled: link.handled, messages };
        drop(links);
        self.changed();
        joined
    }

    /// A stream has ended; `false` when a newer one took its place.
    pub fn leave(&self, node: &str, link: LinkId) -> bool {
        let mut links = self.lock();
        let left = links.get_mut(node).is_some_and(|known| known.disconnect(link));
        drop(links);
        if left {
            self.changed();
        }
        left
    }

    /// A message has come: says whether it is news (`false` for one that was handled before its stream broke).
    pub fn heard(&self, node: &str, link: LinkId, sequence: u64, ack: u64, now: i64) -> bool {
        let mut links = self.lock();
        links.get_mut(node).filter(|known| known.is(link)).is_some_and(|known| known.heard(sequence, ack, now))
    }

    /// A message has been handled: it is acknowledged and not to be sent again.
    pub fn handled(&self, node: &str, link: LinkId, sequence: u64) {
        if let Some(known) = self.lock().get_mut(node).filter(|known| known.is(link)) {
            known.acknowledge(sequence);
        }
    }

    /// The node has told all that it has.
    pub fn inventory(&self, node: &str, instances: &[InstanceStatus]) {
        let mut links = self.lock();
        let Some(link) = links.get_mut(node) else { return };
        link.seen = instances.iter().filter_map(observed).map(|seen| (seen.id.clone(), seen)).collect();
        link.inventoried = true;
        link.asked.clear();
    }

    /// Asks a node to end and remove instances that nobody wants; `wanted` are the ids that somebody does.
    pub fn remove_unknown(&self, node: &str, wanted: &dyn Fn(&str) -> bool) {
        let mut links = self.lock();
        let Some(link) = links.get_mut(node) else { return };
        let unknown: Vec<Observed> = link.seen.values().filter(|seen| !wanted(&seen.id)).cloned().collect();
        for step in planner::plan(&[], &unknown, u64::MAX) {
            link.ask(step, |step| message(step, None));
        }
    }

    /// The node has told how one instance is.
    pub fn saw(&self, node: &str, status: &InstanceStatus) {
        let mut links = self.lock();
        let (Some(link), Some(seen)) = (links.get_mut(node), observed(status)) else { return };
        if seen.phase == Phase::Removed {
            link.seen.remove(&seen.id);
            link.asked.remove(&seen.id);
        } else {
            link.seen.insert(seen.id.clone(), seen);
        }
    }

    /// Tells the node of a workspace what it should do for it now, if anything. Asks each thing once per stream.
    pub fn drive(&self, record: &Record) {
        if !record.concerns_a_node() {
            return;
        }
        let Some(wanted) = record.instance.wanted() else { return };
        let mut links = self.lock();
        let Some(link) = links.get_mut(&record.node).filter(|link| link.inventoried) else { return };
        let observed: Vec<Observed> = link.seen.get(&wanted.id).cloned().into_iter().collect();
        for step in planner::plan(&[wanted], &observed, 0) {
            link.ask(step, |step| message(step, Some(record)));
        }
    }

    /// Whether a node was asked for an instance, or told of it, in its present session.
    pub fn knows(&self, node: &str, instance_id: &str) -> bool {
        let links = self.lock();
        links.get(node).is_some_and(|link| link.seen.contains_key(instance_id) || link.asked.contains_key(instance_id))
    }

    /// Has an instance that has ended removed, to make room for the next start of its workspace.
    pub fn retire(&self, node: &str, instance_id: &str) {
        let mut links = self.lock();
        let Some(link) = links.get_mut(node).filter(|link| link.seen.contains_key(instance_id)) else { return };
        link.ask(Step::Remove { id: instance_id.into(), forget: false }, |step| message(step, None));
    }

    /// Tells a node who may reach a port.
    pub fn set_port(&self, node: &str, instance_id: &str, port: u32, visibility: i32) {
        if let Some(link) = self.lock().get_mut(node) {
            link.send(Down::SetPort(SetInstancePort { id: instance_id.into(), port, visibility }));
        }
    }

    /// Asks a node for a tunnel; `false` when it is away. Not resent: who waits for it gives up first.
    pub fn open_tunnel(&self, node: &str, open: OpenTunnel) -> bool {
        self.lock().get_mut(node).is_some_and(|link| link.send_once(Down::OpenTunnel(open)))
    }

    /// One node.
    pub fn get(&self, node: &str) -> Option<NodeState> {
        self.lock().get(node).map(|link| link.state(node))
    }

    /// All nodes, by id.
    pub fn all(&self) -> Vec<NodeState> {
        self.lock().iter().map(|(id, link)| link.state(id)).collect()
    }

    /// Whether a node's stream is up.
    pub fn is_connected(&self, node: &str) -> bool {
        self.lock().get(node).is_some_and(Link::is_connected)
    }

    /// Ends every stream: the process stops.
    pub fn disconnect_all(&self) {
        for link in self.lock().values_mut() {
            link.end();
        }
    }
}

fn observed(status: &InstanceStatus) -> Option<Observed> {
    let phase = status.domain_phase().ok()?;
    Some(Observed { id: status.id.clone(), generation: status.observed_generation, phase, created: 0 })
}

/// Puts a step into words for the node.
fn message(step: &Step, record: Option<&Record>) -> Option<Down> {
    Some(match step {
        Step::Apply(_) => Down::Apply(record?.instance.spec.clone()?),
        Step::Stop(id) => Down::Stop(stop_message(id, record)),
        Step::Remove { id, forget } => Down::Remove(RemoveInstance {
            id: id.clone(),
            workspace_id: record.map(|record| record.id.clone()).unwrap_or_default(),
            forget: *forget,
        }),
    })
}

fn stop_message(id: &str, record: Option<&Record>) -> StopInstance {
    let order = record.and_then(|record| record.instance.stop.clone());
    let grace_ms = record
        .and_then(|record| record.instance.spec.as_ref())
        .and_then(|spec| spec.lifecycle.as_ref())
        .map_or(0, |lifecycle| lifecycle.stop_grace_ms);
    let (reason, conclusion) = match order {
        Some(order) => (order.reason, order.conclusion),
        None => ("nobody wants it".into(), api::v1::Conclusion::Canceled.into()),
    };
    StopInstance { id: id.into(), reason, grace_ms, conclusion }
}

/// Shared by all who speak with nodes.
pub type SharedNodes = Arc<Nodes>;
