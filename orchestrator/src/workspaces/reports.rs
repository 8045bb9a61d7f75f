//! What nodes say of their instances, merged into what is known. A node is believed about its own instances only.

use std::collections::{BTreeMap, BTreeSet};

use api::v1::{InstanceStatus, TaskStatus, task_status};
use domain::phase::{Event, Phase};

use super::record::{Desired, Record};
use super::{Draft, Workspaces};
use crate::error::WorkspaceError;

impl Workspaces {
    /// A node says how one instance is.
    pub async fn report(&self, node: &str, status: InstanceStatus) -> Result<(), WorkspaceError> {
        self.nodes.saw(node, &status);
        let id = status.workspace_id.clone();
        if self.slot(&id).is_err() {
            // Nobody knows the workspace. The next inventory has the instance removed.
            return Ok(());
        }
        let (instance_id, ended) = (status.id.clone(), status.domain_phase().is_ok_and(Phase::has_ended));
        self.change(&id, |record, draft| {
            draft.repeatable();
            if record.node != node || record.instance.id != status.id || record.forgotten {
                draft.unchanged();
            } else {
                merge(record, draft, status);
            }
            Ok(())
        })
        .await?;
        if ended {
            self.supervisors.forget(&instance_id);
        }
        Ok(())
    }

    /// A node says all that it has. What it has is merged; what it lacks is asked for again, or has ended; what nobody
    /// knows is removed.
    pub async fn inventory(&self, node: &str, instances: Vec<InstanceStatus>) -> Result<(), WorkspaceError> {
        let mut wanted = BTreeSet::new();
        let mut missing = Vec::new();
        for slot in self.all_slots() {
            let record = slot.lock().await;
            if record.node != node || record.forgotten {
                continue;
            }
            wanted.insert(record.instance.id.clone());
            if !instances.iter().any(|status| status.id == record.instance.id) {
                missing.push(record.id.clone());
            }
        }
        self.nodes.inventory(node, &instances);
        for status in instances {
            self.report(node, status).await?;
        }
        for id in missing {
            self.change(&id, |record, draft| {
                lacking(record, draft);
                Ok(())
            })
            .await?;
        }
        self.nodes.remove_unknown(node, &|id| wanted.contains(id));
        Ok(())
    }

    /// A node has been silent for longer than its lease.
    pub(super) async fn node_silent(&self, node: &str) -> Result<(), WorkspaceError> {
        for slot in self.all_slots() {
            let (id, affected) = {
                let record = slot.lock().await;
                (
                    record.id.clone(),
                    record.node == node && record.instance.phase.is_live() && record.instance.phase != Phase::Unknown,
                )
            };
            if affected {
                self.change(&id, |record, draft| {
                    silent(record, draft, node);
                    Ok(())
                })
                .await?;
            }
        }
        Ok(())
    }
}

fn silent(record: &mut Record, draft: &mut Draft, node: &str) {
    if let Ok((phase, _)) = record.instance.phase.on(Event::NodeSilent) {
        record.instance.phase = phase;
        draft.event("instance.unknown", format!("the node {node} is silent; its last word was {}", said(record)), "orchestrator");
    }
}

fn said(record: &Record) -> &'static str {
    record.instance.status.domain_phase().map_or("nothing", Phase::as_str)
}

/// The node does not have the instance: if it should not run, it has stopped.
fn lacking(record: &mut Record, draft: &mut Draft) {
    let instance = &mut record.instance;
    if instance.desired == Desired::Running || instance.phase.has_ended() {
        draft.unchanged();
        return;
    }
    instance.phase = Phase::Stopped;
    instance.stopped = draft.now;
    if let Some(order) = &instance.stop {
        instance.conclusion = order.conclusion;
        instance.conclusion_reason.clone_from(&order.reason);
    }
    draft.event("instance.phase", "stopped: its node does not have it", "orchestrator");
}

/// Takes over what a node says. Old words (by sequence) change nothing; a phase only goes forward.
fn merge(record: &mut Record, draft: &mut Draft, status: InstanceStatus) {
    let instance = &mut record.instance;
    let known = instance.status.sequence;
    let returns = instance.phase == Phase::Unknown;
    if status.sequence < known || (status.sequence == known && known > 0 && !returns) {
        draft.unchanged();
        return;
    }
    let Ok(reported) = status.domain_phase() else {
        draft.unchanged();
        return;
    };
    if reported == Phase::Removed {
        gone(record, draft);
        return;
    }
    let before = instance.phase;
    let after = before.on(Event::Reported(reported)).map_or(before, |(phase, _)| phase);
    let actor = format!("node {}", record.node);
    tell_of_tasks(&instance.status.tasks, &status.tasks, draft, &actor);
    tell_of_ports(&instance.status, &status, draft, &actor);
    let instance = &mut record.instance;
    instance.phase = after;
    instance.clear_condition("Scheduled");
    record.last_activity = record.last_activity.max(status.last_activity_unix_ms.min(draft.now));
    if let Some(content) = &status.content {
        record.content_ready |= content.ready;
        record.init_done |= content.init_done;
        if content.ready {
            record.commit.clone_from(&content.commit);
            record.branch.clone_from(&content.branch);
        }
    }
    instance.status = status;
    if after != before {
        moved(record, draft, &actor);
    }
}

/// The instance is gone from its node.
fn gone(record: &mut Record, draft: &mut Draft) {
    if record.deleted && record.instance.desired == Desired::Forgotten {
        record.forgotten = true;
        record.instance.phase = Phase::Removed;
        draft.event("workspace.forgotten", "nothing is left of it", &format!("node {}", record.node));
    } else if record.instance.phase.has_ended() {
        draft.unchanged();
    } else {
        record.instance.phase = Phase::Stopped;
        moved(record, draft, &format!("node {}", record.node));
    }
}

/// A phase has changed: times, how it ended, and an event.
fn moved(record: &mut Record, draft: &mut Draft, actor: &str) {
    let instance = &mut record.instance;
    if instance.phase == Phase::Running && instance.started == 0 {
        instance.started = draft.now;
    }
    let mut words = instance.phase.to_string();
    if instance.phase.has_ended() {
        instance.stopped = draft.now;
        instance.conclusion = instance.status.conclusion;
        instance.conclusion_reason.clone_from(&instance.status.conclusion_reason);
        if let Some(order) = instance.stop.as_ref().filter(|_| instance.conclusion == 0) {
            instance.conclusion = order.conclusion;
            instance.conclusion_reason.clone_from(&order.reason);
        }
        if !instance.conclusion_reason.is_empty() {
            words = format!("{words}: {}", instance.conclusion_reason);
        }
        // It has ended and is not begun again by itself.
        if instance.desired == Desired::Running {
            instance.desired = Desired::Stopped;
        }
    }
    draft.event("instance.phase", words, actor);
}

fn tell_of_tasks(before: &[TaskStatus], after: &[TaskStatus], draft: &mut Draft, actor: &str) {
    let failures = |tasks: &[TaskStatus]| -> BTreeMap<String, (String, i32)> {
        let failed = |task: &TaskStatus| {
            task.stages.iter().find(|stage| stage.exit_code != 0).map(|stage| (stage.stage.clone(), stage.exit_code))
        };
        tasks.iter().filter_map(|task| failed(task).map(|failure| (shown(task), failure))).collect()
    };
    let known = failures(before);
    for (task, (stage, code)) in failures(after) {
        if !known.contains_key(&task) {
            draft.event("task.failed", format!("{task}: {stage} ended with {code}"), actor);
        }
    }
    let closed = |tasks: &[TaskStatus]| {
        tasks.iter().filter(|task| task.state() == task_status::State::Closed).map(shown).collect::<BTreeSet<_>>()
    };
    for task in closed(after).difference(&closed(before)) {
        draft.event("task.closed", format!("{task} has ended"), actor);
    }
}

fn shown(task: &TaskStatus) -> String {
    if task.name.is_empty() { format!("task {}", task.id) } else { format!("task {} ({})", task.id, task.name) }
}

fn tell_of_ports(before: &InstanceStatus, after: &InstanceStatus, draft: &mut Draft, actor: &str) {
    let served =
        |status: &InstanceStatus| status.ports.iter().filter(|port| port.served).map(|port| port.port).collect::<BTreeSet<_>>();
    let (before, after) = (served(before), served(after));
    for port in after.difference(&before) {
        draft.event("port.opened", format!("port {port} is served"), actor);
    }
    for port in before.difference(&after) {
        draft.event("port.closed", format!("port {port} is not served any more"), actor);
    }
}
