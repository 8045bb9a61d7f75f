//! The bookkeeping of the node stream, without I/O: what was sent and not acknowledged, what was received already.

use std::collections::{BTreeMap, BTreeSet};

use api::v1::node_message::Message;
use api::v1::{InstanceStatus, NodeEvent, NodeMessage};

/// Numbers that arrived before one that is missing; when there are more, the missing one is given up.
const MAX_AHEAD: usize = 1024;

/// What goes to the orchestrator.
#[derive(Debug, Default)]
pub struct Outbox {
    last: u64,
    unacked: BTreeMap<u64, Message>,
}

impl Outbox {
    /// Numbers a message and remembers it until it is acknowledged. A status that a newer one of the same instance
    /// replaces is not sent again.
    pub fn number(&mut self, message: Message) -> NodeMessage {
        if let Message::Status(InstanceStatus { id, .. }) = &message {
            self.unacked.retain(|_, older| !matches!(older, Message::Status(status) if status.id == *id));
        }
        self.last += 1;
        self.unacked.insert(self.last, message.clone());
        NodeMessage { sequence: self.last, ack: 0, message: Some(message) }
    }

    /// The other side has handled everything up to here.
    pub fn acked(&mut self, sequence: u64) {
        self.unacked = self.unacked.split_off(&sequence.saturating_add(1));
    }

    /// What to send again, with its old numbers, to one who goes on with the session. An inventory is not: a new one
    /// follows.
    pub fn again(&mut self) -> Vec<NodeMessage> {
        self.unacked.retain(|_, message| !matches!(message, Message::Inventory(_)));
        let numbered =
            |(sequence, message): (&u64, &Message)| NodeMessage { sequence: *sequence, ack: 0, message: Some(message.clone()) };
        self.unacked.iter().map(numbered).collect()
    }

    /// The other side begins anew: numbers start from 1. Answers what it has not acknowledged and an inventory does not
    /// say: events, and statuses of what is gone.
    pub fn restart(&mut self) -> (Vec<NodeEvent>, Vec<InstanceStatus>) {
        self.last = 0;
        let (mut events, mut gone) = (Vec::new(), Vec::new());
        for message in std::mem::take(&mut self.unacked).into_values() {
            match message {
                Message::Event(event) => events.push(event),
                Message::Status(status) if status.phase() == api::v1::Phase::Removed => gone.push(status),
                _ => {}
            }
        }
        (events, gone)
    }
}

/// What comes from the orchestrator.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Everything up to here was handled.
    handled: u64,
    ahead: BTreeSet<u64>,
    /// Taken and being handled.
    open: BTreeSet<u64>,
}

impl Inbox {
    /// Whether a message is new; one that came before is to be acknowledged again and otherwise ignored. Messages
    /// without number are always new.
    pub fn is_new(&mut self, sequence: u64) -> bool {
        sequence == 0 || (sequence > self.handled && !self.ahead.contains(&sequence) && self.open.insert(sequence))
    }

    /// A message was handled. Answers what to acknowledge.
    pub fn handled(&mut self, sequence: u64) -> u64 {
        if self.open.remove(&sequence) {
            self.ahead.insert(sequence);
        }
        if self.ahead.len() > MAX_AHEAD {
            self.handled = self.ahead.first().map_or(self.handled, |first| first - 1);
        }
        while self.ahead.remove(&(self.handled + 1)) {
            self.handled += 1;
        }
        self.handled
    }

    /// The other side begins anew.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// The highest number up to which everything was handled.
    pub fn ack(&self) -> u64 {
        self.handled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(id: &str, sequence: u64) -> Message {
        Message::Status(InstanceStatus { id: id.into(), sequence, ..InstanceStatus::default() })
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_with_its_number_and_only_the_last_status_of_each() {
        let mut outbox = Outbox::default();
        for n in 1..=3 {
            outbox.number(status("a", n));
        }
        outbox.number(Message::Event(NodeEvent::default()));
        outbox.number(status("b", 1));
        assert_eq!(outbox.again().iter().map(|message| message.sequence).collect::<Vec<_>>(), [3, 4, 5]);
        outbox.acked(4);
        assert_eq!(outbox.again().iter().map(|message| message.sequence).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn duplicates_are_ignored_and_what_comes_early_is_handled_once() {
        let mut inbox = Inbox::default();
        let mut handled = Vec::new();
        for sequence in [2, 1, 1, 2, 4, 3, 3, 4] {
            if inbox.is_new(sequence) {
                inbox.handled(sequence);
                handled.push(sequence);
            }
        }
        assert_eq!(handled, [2, 1, 4, 3]);
        assert_eq!(inbox.ack(), 4);
    }

    #[test]
    fn nothing_is_acknowledged_before_it_was_handled() {
        let mut inbox = Inbox::default();
        assert!(inbox.is_new(1) && inbox.is_new(2));
        assert_eq!(inbox.handled(2), 0);
        assert!(!inbox.is_new(1), "it is being handled");
        assert_eq!(inbox.handled(1), 2);
    }
}
