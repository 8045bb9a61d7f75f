//! What the node has to say: the latest status of each instance, and events. Written by the engine, taken by the node
//! stream; statuses that nobody took yet are replaced, so that a slow or absent orchestrator costs no memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::v1::{InstanceStatus, NodeEvent, Phase};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Events that wait for an orchestrator; the oldest go first when there are more.
const MAX_EVENTS: usize = 1024;

/// Everything there is to say.
pub struct Reports {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    latest: BTreeMap<String, InstanceStatus>,
    unsent: BTreeSet<String>,
    events: VecDeque<NodeEvent>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { state: Mutex::default(), version: watch::Sender::new(0) }
    }
}

impl Reports {
    /// Says how an instance is now.
    pub fn publish(&self, status: InstanceStatus) {
        let mut state = self.state.lock();
        state.unsent.insert(status.id.clone());
        state.latest.insert(status.id.clone(), status);
        drop(state);
        self.version.send_modify(|version| *version += 1);
    }

    /// Says that something happened.
    pub fn event(&self, event: NodeEvent) {
        let mut state = self.state.lock();
        if state.events.len() == MAX_EVENTS {
            state.events.pop_front();
        }
        state.events.push_back(event);
        drop(state);
        self.version.send_modify(|version| *version += 1);
    }

    /// Forgets an instance that is gone and whose end was told.
    pub fn forget(&self, id: &str) {
        let mut state = self.state.lock();
        if !state.unsent.contains(id) {
            state.latest.remove(id);
        }
    }

    /// All that was not taken yet, and nothing is left to take.
    pub fn take(&self) -> (Vec<InstanceStatus>, Vec<NodeEvent>) {
        let mut state = self.state.lock();
        let ids = std::mem::take(&mut state.unsent);
        let statuses = ids.iter().filter_map(|id| state.latest.get(id).cloned()).collect();
        (statuses, state.events.drain(..).collect())
    }

    /// Every instance that is on the node; counts as taken.
    pub fn inventory(&self) -> Vec<InstanceStatus> {
        let mut state = self.state.lock();
        let gone: Vec<String> = state.latest.values().filter(|status| is_gone(status)).map(|status| status.id.clone()).collect();
        state.unsent.retain(|id| gone.contains(id));
        state.latest.values().filter(|status| !is_gone(status)).cloned().collect()
    }

    /// How an instance is.
    pub fn get(&self, id: &str) -> Option<InstanceStatus> {
        self.state.lock().latest.get(id).cloned()
    }

    /// A number that grows with everything that is said.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

fn is_gone(status: &InstanceStatus) -> bool {
    status.phase() == Phase::Removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(id: &str, sequence: u64, phase: Phase) -> InstanceStatus {
        InstanceStatus { id: id.into(), sequence, phase: phase.into(), ..InstanceStatus::default() }
    }

    #[test]
    fn only_the_last_status_of_an_instance_is_taken_and_only_once() {
        let reports = Reports::default();
        (1..=1_000).for_each(|n| reports.publish(status("a", n, Phase::Running)));
        let (statuses, _) = reports.take();
        assert_eq!(statuses.iter().map(|status| status.sequence).collect::<Vec<_>>(), [1_000]);
        assert!(reports.take().0.is_empty());
    }

    #[test]
    fn an_inventory_has_what_is_here_and_leaves_the_news_of_what_is_gone() {
        let reports = Reports::default();
        reports.publish(status("here", 1, Phase::Running));
        reports.publish(status("gone", 1, Phase::Removed));
        assert_eq!(reports.inventory().iter().map(|status| status.id.as_str()).collect::<Vec<_>>(), ["here"]);
        assert_eq!(reports.take().0.iter().map(|status| status.id.as_str()).collect::<Vec<_>>(), ["gone"]);
    }
}
