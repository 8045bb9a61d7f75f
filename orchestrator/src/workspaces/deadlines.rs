//! What time does: idle workspaces stop, old ones too, silent nodes are noted, leftovers are swept.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use api::v1::Conclusion;
use daemon_kit::units::HumanDuration;
use domain::phase::Phase;

use super::record::{Desired, Record};
use super::{SharedWorkspaces, Workspaces};
use crate::error::WorkspaceError;
use crate::store::{KnownNode, NewEvent};

/// What the watch over deadlines remembers between rounds.
#[derive(Default)]
pub struct Watchman {
    /// Instances whose owner was warned, with the activity that the warning was about.
    warned: HashMap<String, i64>,
    /// Nodes that were found silent.
    silent: HashSet<String>,
    /// When this process began: nodes have that long to come back.
    began: i64,
}

impl Workspaces {
    /// Looks at deadlines for ever.
    pub async fn keep_time(self: SharedWorkspaces) {
        let mut watchman = Watchman { began: self.clock.now(), ..Watchman::default() };
        let interval = self.settings.config().check_interval.0.max(Duration::from_millis(10));
        loop {
            let began = self.clock.now();
            if let Err(error) = self.check_time(&mut watchman).await {
                tracing::error!(error = daemon_kit::status::chain(&error), "deadlines could not be looked at");
            }
            // What the round itself took counts: a clock that jumped meanwhile is looked at again at once.
            let took = u64::try_from(self.clock.now() - began).unwrap_or(0);
            self.clock.sleep(interval.saturating_sub(Duration::from_millis(took))).await;
        }
    }

    async fn check_time(&self, watchman: &mut Watchman) -> Result<(), WorkspaceError> {
        self.check_nodes(watchman).await?;
        for slot in self.all_slots() {
            let record = slot.lock().await.clone();
            if record.instance.phase == Phase::Running && record.instance.desired == Desired::Running {
                self.check_workspace(watchman, &record).await?;
            }
        }
        let live: HashSet<String> = self.hub.all().iter().map(|workspace| workspace.instance_id.clone()).collect();
        watchman.warned.retain(|instance, _| live.contains(instance));
        Ok(())
    }

    async fn check_workspace(&self, watchman: &mut Watchman, record: &Record) -> Result<(), WorkspaceError> {
        let now = self.clock.now();
        let lifetime = self.settings.max_lifetime(&record.request);
        if is_over(record.instance.started, lifetime, now) {
            let reason = format!("it ran for {}, as long as it may", shown(lifetime));
            return self.stop_because(&record.id, &record.instance.id, &reason, Conclusion::TimedOut).await;
        }
        let timeout = self.settings.idle_timeout(&record.request);
        // What was seen before this process began is not known in full, so nobody is idle from before.
        let known = record.last_activity.max(record.instance.started).max(watchman.began);
        let last = known.max(self.activity.last(&record.id));
        if is_over(last, timeout, now) {
            let reason = format!("nobody used it for {}", shown(timeout));
            return self.stop_because(&record.id, &record.instance.id, &reason, Conclusion::Canceled).await;
        }
        let warning = timeout.saturating_sub(self.settings.config().idle_warning.as_millis());
        if warning > 0 && is_over(last, warning, now) && watchman.warned.insert(record.instance.id.clone(), last) != Some(last) {
            self.warn(record, timeout - warning).await?;
        }
        Ok(())
    }

    async fn warn(&self, record: &Record, left: u64) -> Result<(), WorkspaceError> {
        self.change(&record.id, |_, draft| {
            draft.event("workspace.idle", format!("nobody uses it: it is stopped in {}", shown(left)), "orchestrator");
            Ok(())
        })
        .await
    }

    /// A node is silent when its lease has run out, connected or not; one that never came back after a restart too.
    async fn check_nodes(&self, watchman: &mut Watchman) -> Result<(), WorkspaceError> {
        let (now, lease) = (self.clock.now(), self.settings.config().node_lease.as_millis());
        let mut heard: HashMap<String, i64> = HashMap::new();
        for slot in self.all_slots() {
            let record = slot.lock().await;
            if record.concerns_a_node() {
                heard.insert(record.node.clone(), watchman.began);
            }
        }
        for node in self.nodes.all() {
            heard.insert(node.id, node.last_heard);
        }
        for (node, last) in heard {
            if !is_over(last, lease, now) {
                watchman.silent.remove(&node);
            } else if watchman.silent.insert(node.clone()) {
                self.tell_silent(&node, now).await?;
                self.node_silent(&node).await?;
            }
        }
        Ok(())
    }

    async fn tell_silent(&self, node: &str, now: i64) -> Result<(), WorkspaceError> {
        let lease = self.settings.config().node_lease;
        self.tell("node.lost", format!("the node {node} has been silent for {lease}"), now).await
    }

    /// An event of the system's own.
    async fn tell(&self, kind: &'static str, message: String, now: i64) -> Result<(), WorkspaceError> {
        let (workspace_id, workspace_name) = (String::new(), String::new());
        let event = NewEvent { time: now, workspace_id, workspace_name, kind, message, actor: "orchestrator".into() };
        self.store.append(&event).await?;
        self.events.send_modify(|count| *count += 1);
        Ok(())
    }

    /// A node has connected, or its stream has ended.
    pub async fn node_seen(&self, node: &KnownNode, connected: bool) -> Result<(), WorkspaceError> {
        self.store.saw_node(node).await?;
        let (kind, word) = if connected { ("node.connected", "connected") } else { ("node.disconnected", "disconnected") };
        if !connected {
            self.supervisors.forget(&format!("node {}", node.id));
        }
        self.tell(kind, format!("the node {} is {word}", node.id), node.last_seen).await
    }
}

/// Whether so many milliseconds have passed; 0 never do.
fn is_over(since: i64, length: u64, now: i64) -> bool {
    length > 0 && u64::try_from(now.saturating_sub(since)).is_ok_and(|passed| passed >= length)
}

fn shown(milliseconds: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(milliseconds))
}
