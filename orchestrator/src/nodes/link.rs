//! One node's stream, with what must be said again when it breaks.
//!
//! Each side numbers its messages from 1. What the node has not acknowledged is kept, and sent again on a stream that
//! resumes the session. A new session (the node or this process has restarted) begins from nothing: an inventory follows.

use std::collections::{BTreeMap, HashMap, VecDeque};

use api::v1::orchestrator_message::Message as Down;
use api::v1::{NodeHello, OrchestratorMessage};
use domain::planner::{Observed, Step};
use tokio::sync::mpsc;

use super::NodeState;

/// Names one stream of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkId(pub(super) u64);

/// A node and its stream.
#[derive(Default)]
pub(super) struct Link {
    /// What the node has, as it said in this session.
    pub seen: BTreeMap<String, Observed>,
    /// What it was asked last, per instance, so that nothing is asked twice in one session.
    pub asked: HashMap<String, Step>,
    /// Whether it has said what it has; before, nothing is decided.
    pub inventoried: bool,
    /// The highest message of the node's that was handled.
    pub handled: u64,
    session: String,
    current: Option<LinkId>,
    sender: Option<mpsc::UnboundedSender<OrchestratorMessage>>,
    unacknowledged: VecDeque<OrchestratorMessage>,
    sequence: u64,
    hello: NodeHello,
    last_heard: i64,
}

impl Link {
    /// Whether a hello with this session resumes.
    pub fn session_goes_on(&self, session: &str) -> bool {
        !session.is_empty() && self.session == session
    }

    /// Begins a stream. What was not acknowledged goes first.
    pub fn connect(
        &mut self,
        link: LinkId,
        hello: &NodeHello,
        resumed: bool,
        ack: u64,
        now: i64,
    ) -> mpsc::UnboundedReceiver<OrchestratorMessage> {
        if !resumed {
            *self = Self::default();
        }
        self.hello = NodeHello { token: String::new(), ..hello.clone() };
        self.session.clone_from(&hello.session);
        self.last_heard = now;
        self.current = Some(link);
        self.forget_up_to(ack);
        let (sender, receiver) = mpsc::unbounded_channel();
        for message in &self.unacknowledged {
            let _ = sender.send(message.clone());
        }
        // Replacing the sender ends the older stream.
        self.sender = Some(sender);
        receiver
    }

    /// Ends a stream; `false` when it is not the present one.
    pub fn disconnect(&mut self, link: LinkId) -> bool {
        let is_current = self.is(link);
        if is_current {
            self.end();
        }
        is_current
    }

    /// Ends the present stream.
    pub fn end(&mut self) {
        self.current = None;
        self.sender = None;
    }

    /// Whether this is the present stream.
    pub fn is(&self, link: LinkId) -> bool {
        self.current == Some(link)
    }

    /// Whether there is one.
    pub fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    /// Takes note of a message; `false` for one that was handled before.
    pub fn heard(&mut self, sequence: u64, ack: u64, now: i64) -> bool {
        self.last_heard = now;
        self.forget_up_to(ack);
        sequence == 0 || sequence > self.handled
    }

    /// Acknowledges a message. The acknowledgement also rides on whatever is said next.
    pub fn acknowledge(&mut self, sequence: u64) {
        if sequence > self.handled {
            self.handled = sequence;
            self.pass(OrchestratorMessage { sequence: 0, ack: sequence, message: None });
        }
    }

    /// Asks for a step, unless that was the last thing asked for its instance.
    pub fn ask(&mut self, step: Step, words: impl FnOnce(&Step) -> Option<Down>) {
        let id = match &step {
            Step::Apply(id) | Step::Stop(id) | Step::Remove { id, .. } => id.clone(),
        };
        if self.asked.get(&id) == Some(&step) {
            return;
        }
        if let Some(message) = words(&step) {
            self.send(message);
            self.asked.insert(id, step);
        }
    }

    /// Says something that must arrive.
    pub fn send(&mut self, message: Down) {
        self.sequence += 1;
        let message = OrchestratorMessage { sequence: self.sequence, ack: self.handled, message: Some(message) };
        self.unacknowledged.push_back(message.clone());
        self.pass(message);
    }

    /// Says something that is of no use later; `false` when nobody is there.
    pub fn send_once(&mut self, message: Down) -> bool {
        self.pass(OrchestratorMessage { sequence: 0, ack: self.handled, message: Some(message) })
    }

    fn pass(&self, message: OrchestratorMessage) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.send(message).is_ok())
    }

    fn forget_up_to(&mut self, ack: u64) {
        while self.unacknowledged.front().is_some_and(|message| message.sequence <= ack) {
            self.unacknowledged.pop_front();
        }
    }

    /// For people.
    pub fn state(&self, id: &str) -> NodeState {
        NodeState {
            id: id.into(),
            connected: self.is_connected(),
            version: self.hello.version.clone(),
            last_heard: self.last_heard,
            dial_socket: self.hello.dial_socket.clone(),
            memory: self.hello.allocatable.map_or(0, |resources| resources.memory_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(session: &str) -> NodeHello {
        NodeHello { node_id: "n".into(), session: session.into(), ..Default::default() }
    }

    fn join(link: &mut Link, id: u64, session: &str, ack: u64) -> (bool, mpsc::UnboundedReceiver<OrchestratorMessage>) {
        let resumed = link.session_goes_on(session);
        (resumed, link.connect(LinkId(id), &hello(session), resumed, ack, 0))
    }

    fn drain(receiver: &mut mpsc::UnboundedReceiver<OrchestratorMessage>) -> Vec<u64> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|message| message.sequence).collect()
    }

    #[test]
    fn what_was_not_acknowledged_is_said_again_and_only_that() {
        let mut link = Link::default();
        let (_, mut first) = join(&mut link, 1, "s", 0);
        for _ in 0..3 {
            link.send(Down::Remove(Default::default()));
        }
        assert_eq!(drain(&mut first), [1, 2, 3]);
        assert!(link.heard(1, 2, 0), "news");
        link.acknowledge(1);
        let (resumed, mut second) = join(&mut link, 2, "s", 2);
        assert!(resumed);
        assert_eq!((drain(&mut second), link.handled), (vec![3], 1));
        assert!(!link.heard(1, 0, 0), "a message that comes again is not news");
        assert!(first.try_recv().is_ok(), "the acknowledgement");
        assert!(first.is_closed() || first.try_recv().is_err(), "the older stream has ended");
    }

    #[test]
    fn a_new_session_begins_from_nothing() {
        let mut link = Link::default();
        join(&mut link, 1, "s", 0);
        link.send(Down::Remove(Default::default()));
        link.acknowledge(7);
        let (resumed, mut receiver) = join(&mut link, 2, "t", 0);
        assert!(!resumed && drain(&mut receiver).is_empty() && link.handled == 0);
    }

    #[test]
    fn a_stream_that_was_replaced_cannot_end_its_successor() {
        let mut link = Link::default();
        join(&mut link, 1, "s", 0);
        join(&mut link, 2, "s", 0);
        assert!(!link.disconnect(LinkId(1)));
        assert!(link.is_connected() && link.disconnect(LinkId(2)) && !link.is_connected());
    }
}
