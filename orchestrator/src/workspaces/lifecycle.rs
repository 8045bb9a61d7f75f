//! Start again, stop, delete, open and close ports. Each bears repeating.

use std::time::Duration;

use api::v1::{
    self, Conclusion, DeleteWorkspaceRequest, SetWorkspacePortRequest, StartWorkspaceRequest, StopWorkspaceRequest, Visibility,
    Workspace,
};
use domain::name::NameError;
use domain::phase::{Event, Phase};

use super::record::{Desired, Instance, Record, StopOrder};
use super::{Draft, SharedWorkspaces, Workspaces, request_key};
use crate::error::WorkspaceError;

/// How long a node has to remove what a deleted workspace kept, beside the grace of its programs.
const FORGET_WITHIN: Duration = Duration::from_secs(30);

impl Workspaces {
    /// Starts a stopped workspace: a new instance of it.
    pub async fn start(
        self: &SharedWorkspaces,
        request: StartWorkspaceRequest,
        actor: &str,
    ) -> Result<Workspace, WorkspaceError> {
        let arguments = StartWorkspaceRequest { request_id: String::new(), ..request.clone() };
        let key = request_key(&request.request_id, "StartWorkspace", &arguments);
        let _turn = self.turn(key.as_ref()).await;
        if let Some(id) = self.answered(key.as_ref()).await? {
            return self.state(&id);
        }
        let id = self.find(&request.workspace)?.id.clone();
        let old = self.state(&id)?.instance_id;
        let (instance, node, resolved) = self
            .change(&id, |record, draft| {
                present(record)?;
                start_again(record, draft.now)?;
                draft.event("workspace.started", "start asked for", actor);
                draft.answers(key);
                // The instance that has ended goes first: its workspace has one at a time.
                self.nodes.retire(&record.node, &old);
                Ok((record.instance.id.clone(), record.node.clone(), record.instance.spec.is_some()))
            })
            .await?;
        self.activity.touch(&id);
        if !resolved {
            self.spawn_start(&id, &instance);
        } else if !self.nodes.is_connected(&node) {
            self.note_waiting(&id, &instance, &node).await?;
        }
        self.state(&id)
    }

    /// Stops a workspace. Asked of one that is stopping, it is asked of the node again.
    pub async fn stop(&self, request: StopWorkspaceRequest, actor: &str) -> Result<Workspace, WorkspaceError> {
        let arguments = StopWorkspaceRequest { request_id: String::new(), ..request.clone() };
        let key = request_key(&request.request_id, "StopWorkspace", &arguments);
        let _turn = self.turn(key.as_ref()).await;
        if let Some(id) = self.answered(key.as_ref()).await? {
            return self.state(&id);
        }
        let id = self.find(&request.workspace)?.id.clone();
        let reason = if request.reason.is_empty() { format!("{actor} asked for it") } else { request.reason };
        let reason: String = reason.chars().filter(|letter| !letter.is_control()).take(200).collect();
        self.change(&id, |record, draft| {
            present(record)?;
            if record.instance.phase.has_ended() {
                return Err(WorkspaceError::AlreadyStopped { name: record.name.clone() });
            }
            draft.answers(key);
            let reached = self.nodes.knows(&record.node, &record.instance.id);
            order_stop(record, draft, &reason, Conclusion::Canceled, actor, reached);
            Ok(())
        })
        .await?;
        self.abort_start(&id);
        self.state(&id)
    }

    /// Stops on the orchestrator's own account: idle, or too old. What has ended meanwhile is left alone.
    pub(super) async fn stop_because(
        &self,
        id: &str,
        instance: &str,
        reason: &str,
        conclusion: Conclusion,
    ) -> Result<(), WorkspaceError> {
        self.change(id, |record, draft| {
            let is_same = record.instance.id == instance && record.instance.desired == Desired::Running;
            if !is_same || record.instance.phase.has_ended() {
                draft.unchanged();
                return Ok(());
            }
            order_stop(record, draft, reason, conclusion, "orchestrator", true);
            Ok(())
        })
        .await
    }

    /// Deletes a workspace: its name is free at once, its node forgets it as soon as it can be asked.
    pub async fn delete(&self, request: DeleteWorkspaceRequest, actor: &str) -> Result<(), WorkspaceError> {
        let arguments = DeleteWorkspaceRequest { request_id: String::new(), ..request.clone() };
        let key = request_key(&request.request_id, "DeleteWorkspace", &arguments);
        let turn = self.turn(key.as_ref()).await;
        if self.answered(key.as_ref()).await?.is_some() {
            return Ok(());
        }
        let id = self.find(&request.workspace)?.id.clone();
        self.change(&id, |record, draft| {
            if record.deleted {
                draft.unchanged();
                return Ok(());
            }
            draft.answers(key);
            draft.event("workspace.deleted", "deleted", actor);
            record.deleted = true;
            // Without a node there is nothing to be forgotten.
            record.forgotten = record.node.is_empty();
            let order = StopOrder { reason: "the workspace was deleted".into(), conclusion: Conclusion::Canceled.into() };
            stop_now(record, draft.now, order, self.nodes.knows(&record.node, &record.instance.id));
            record.instance.desired = Desired::Forgotten;
            Ok(())
        })
        .await?;
        self.abort_start(&id);
        self.store.end_sessions(self.clock.now()).await?;
        drop(turn);
        self.until_forgotten(&id).await;
        Ok(())
    }

    /// Waits until the node of a deleted workspace has nothing of it left; not for a node that is away, and not for ever:
    /// what is left then goes when the node can be asked.
    async fn until_forgotten(&self, id: &str) {
        let limit = self.clock.sleep(self.settings.config().stop_grace.0 + FORGET_WITHIN);
        let mut nodes = self.nodes.subscribe();
        let mut states = self.hub.watch(Some(id.to_owned()));
        let gone = async {
            loop {
                nodes.mark_unchanged();
                let workspace = self.hub.get(id);
                if workspace
                    .is_none_or(|workspace| workspace.phase() == v1::Phase::Removed || !self.nodes.is_connected(&workspace.node))
                {
                    return;
                }
                tokio::select! {
                    _ = states.next() => {}
                    _ = nodes.changed() => {}
                }
            }
        };
        tokio::select! {
            () = gone => {}
            () = limit => {}
        }
    }

    /// Says who may reach a port, from now on and after each start.
    pub async fn set_port(&self, request: SetWorkspacePortRequest, actor: &str) -> Result<Workspace, WorkspaceError> {
        let arguments = SetWorkspacePortRequest { request_id: String::new(), ..request.clone() };
        let key = request_key(&request.request_id, "SetPortVisibility", &arguments);
        let _turn = self.turn(key.as_ref()).await;
        if let Some(id) = self.answered(key.as_ref()).await? {
            return self.state(&id);
        }
        let port = check_port(request.port)?;
        let visibility = request.visibility();
        if visibility == Visibility::Unspecified {
            let why = "it is neither private nor public".into();
            return Err(WorkspaceError::Invalid { field: "visibility", why, hint: "use --private or --public" });
        }
        let id = self.find(&request.workspace)?.id.clone();
        self.change(&id, |record, draft| {
            present(record)?;
            draft.answers(key);
            let word = if visibility == Visibility::Public { "public" } else { "private" };
            draft.event("port.visibility", format!("port {port} is {word}"), actor);
            record.visibility.insert(port.into(), visibility.into());
            self.nodes.set_port(&record.node, &record.instance.id, port.into(), visibility.into());
            Ok(())
        })
        .await?;
        self.state(&id)
    }
}

/// Somebody may have deleted it since it was found by its name.
fn present(record: &Record) -> Result<(), WorkspaceError> {
    if record.deleted { Err(NameError::Unknown(record.name.clone()).into()) } else { Ok(()) }
}

/// Checks a port of a request.
pub fn check_port(port: u32) -> Result<u16, WorkspaceError> {
    api::convert::check_port(port).map_err(|error| WorkspaceError::Invalid {
        field: "port",
        why: error.to_string(),
        hint: "give a number from 1 to 65535",
    })
}

/// Gives the workspace a new instance. What is known of its source is used again when its content is on the node.
fn start_again(record: &mut Record, now: i64) -> Result<(), WorkspaceError> {
    let old = &record.instance;
    if !old.phase.has_ended() {
        let (name, phase) = (record.name.clone(), old.phase);
        let is_ending = matches!(phase, Phase::Stopping | Phase::Storing | Phase::Unknown) || old.stop.is_some();
        return Err(if is_ending {
            WorkspaceError::StillStopping { name, phase }
        } else {
            WorkspaceError::AlreadyStarted { name, phase }
        });
    }
    let mut instance = Instance::new(now);
    if record.content_ready && !record.node.is_empty() {
        instance.spec = old.spec.clone().map(|spec| super::spec::again(spec, &instance.id, record));
        instance.own.conditions =
            old.own.conditions.iter().filter(|condition| condition.r#type == "ConfigValid").cloned().collect();
    }
    record.instance = instance;
    record.last_activity = now;
    Ok(())
}

fn order_stop(record: &mut Record, draft: &mut Draft, reason: &str, conclusion: Conclusion, actor: &str, reached: bool) {
    let first = record.instance.stop.is_none();
    if first {
        draft.event("workspace.stopping", format!("stopping: {reason}"), actor);
    }
    stop_now(record, draft.now, StopOrder { reason: reason.into(), conclusion: conclusion.into() }, reached);
}

/// Wants the instance stopped. One that no node was asked for (`reached`) and that none told of has stopped at once.
fn stop_now(record: &mut Record, now: i64, order: StopOrder, reached: bool) {
    let instance = &mut record.instance;
    instance.desired = Desired::Stopped;
    if instance.phase.has_ended() {
        return;
    }
    let order = instance.stop.get_or_insert(order).clone();
    let nobody_has_it = instance.spec.is_none() || (!reached && instance.status.phase == 0);
    if nobody_has_it && let Ok((phase, _)) = instance.phase.on(Event::StopRequested) {
        instance.phase = phase;
        instance.stopped = now;
        instance.conclusion = order.conclusion;
        instance.conclusion_reason = order.reason;
        instance.clear_condition("Scheduled");
    }
}
