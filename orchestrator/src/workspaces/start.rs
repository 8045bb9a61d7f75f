//! From "stored" to "a node was asked to run it": a node is found, the source is looked into, the spec is made. Goes on
//! in the background; a stop aborts it, a restart of the orchestrator begins it again.

use std::sync::PoisonError;

use api::v1::{Conclusion, Condition, ErrorDetail, ResolveResponse, Step, condition};
use domain::class::Class;
use domain::phase::{Event, Phase};
use tonic::Status;

use super::record::{Desired, Record, failed_condition};
use super::{Draft, SharedWorkspaces, Workspaces, spec};
use crate::error::WorkspaceError;
use crate::supervisors::passed_on;

/// Why a start went no further: the condition that is false, and what a person reads.
struct Failure {
    condition: &'static str,
    detail: ErrorDetail,
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        Self { condition: "ContentReady", detail: error.detail() }
    }
}

impl Workspaces {
    /// Begins a start in the background.
    pub(super) fn spawn_start(self: &SharedWorkspaces, id: &str, instance: &str) {
        let (workspaces, id, instance_id) = (self.clone(), id.to_owned(), instance.to_owned());
        let mut starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = instance_id.clone();
        let task = tokio::spawn(async move {
            if let Err(failure) = workspaces.bring_up(&id, &instance_id).await {
                workspaces.fail_start(&id, &instance_id, failure).await;
            }
            workspaces.starting.lock().unwrap_or_else(PoisonError::into_inner).remove(&instance_id);
        });
        starting.insert(key, task.abort_handle());
    }

    /// Ends what `spawn_start` began for a workspace that is not wanted running any more.
    pub(super) fn abort_start(&self, id: &str) {
        let Some(workspace) = self.hub.get(id) else { return };
        let task = self.starting.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace.instance_id);
        if let Some(task) = task {
            task.abort();
        }
    }

    async fn bring_up(&self, id: &str, instance: &str) -> Result<(), Failure> {
        let record = self.slot(id)?.lock().await.clone();
        let wanted = spec::wanted(&record.request.source.clone().unwrap_or_default())?;
        let began = self.clock.now();
        let (node, answer) = self.resolve(&record, instance, &wanted).await?;
        let found = spec::found(&answer);
        let image = spec::image(&record, &found.parsed.config, &self.settings);
        let image = image.map_err(|detail| Failure { condition: "ImageReady", detail })?;
        let memory = self.nodes.get(&node).map_or(0, |state| state.memory);
        let spec = spec::spec(&record, &wanted, &answer, &found, image, &self.settings, memory)?;
        self.change(id, |record, draft| {
            if record.instance.id != instance || record.instance.desired != Desired::Running {
                draft.unchanged();
                return Ok(());
            }
            resolved(record, draft, began, &answer, &found);
            record.instance.spec = Some(spec);
            record.node = node;
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Asks a node what the source means. A node that goes away meanwhile is waited for.
    async fn resolve(
        &self,
        record: &Record,
        instance: &str,
        wanted: &spec::Wanted,
    ) -> Result<(String, ResolveResponse), Failure> {
        loop {
            let node = self.place(record, instance).await?;
            self.note_resolving(&record.id, instance).await?;
            let mut client = self.supervisors.node(&node);
            let deadline = self.settings.config().resolve_deadline;
            let answer = tokio::select! {
                answer = client.resolve(wanted.request.clone()) => answer,
                () = self.clock.sleep(deadline.0) => Err(too_long(deadline)),
            };
            match answer {
                Ok(answer) => return Ok((node, answer.into_inner())),
                Err(status) if !self.nodes.is_connected(&node) => {
                    tracing::info!(node, error = status.message(), "a node went away while a source was resolved; waiting");
                    self.supervisors.forget(&format!("node {node}"));
                }
                Err(status) => {
                    let detail = daemon_kit::status::detail_of(&passed_on(&status));
                    return Err(Failure { condition: "ContentReady", detail });
                }
            }
        }
    }

    /// The node of a workspace, or any that is connected; waits for one, and says so.
    async fn place(&self, record: &Record, instance: &str) -> Result<String, WorkspaceError> {
        let mut changes = self.nodes.subscribe();
        let mut said = false;
        loop {
            changes.mark_unchanged();
            let candidates = self.nodes.all();
            let fits = |node: &&crate::nodes::NodeState| node.connected && (record.node.is_empty() || node.id == record.node);
            if let Some(node) = candidates.iter().find(fits) {
                return Ok(node.id.clone());
            }
            if !said {
                self.note_waiting(&record.id, instance, &record.node).await?;
                said = true;
            }
            if changes.changed().await.is_err() {
                return Err(WorkspaceError::NodeAway { node: record.node.clone() });
            }
        }
    }

    /// Says that a start waits for its node.
    pub(super) async fn note_waiting(&self, id: &str, instance: &str, node: &str) -> Result<(), WorkspaceError> {
        let which =
            if node.is_empty() { "no node is connected".to_owned() } else { format!("its node {node:?} is not connected") };
        self.change(id, |record, draft| {
            if record.instance.id != instance || record.instance.phase != Phase::Pending {
                draft.unchanged();
                return Ok(());
            }
            record.instance.set_condition(Condition {
                r#type: "Scheduled".into(),
                status: condition::Status::False.into(),
                reason: "NodeAway".into(),
                message: format!("waiting: {which}"),
                hint: "see whether ws-daemon runs; the start goes on by itself".into(),
                since_unix_ms: draft.now,
                class: String::new(),
            });
            draft.event("workspace.waiting", format!("waiting: {which}"), "orchestrator");
            Ok(())
        })
        .await
    }

    async fn note_resolving(&self, id: &str, instance: &str) -> Result<(), WorkspaceError> {
        self.change(id, |record, draft| {
            draft.repeatable();
            if record.instance.id == instance {
                record.instance.clear_condition("Scheduled");
                record.instance.set_step(Step {
                    name: "resolve".into(),
                    started_unix_us: draft.now * 1000,
                    ..Default::default()
                });
            }
            Ok(())
        })
        .await
    }

    /// The start has failed: the workspace is stopped, says why, and can be started again or deleted.
    async fn fail_start(&self, id: &str, instance: &str, failure: Failure) {
        let stored = self
            .change(id, |record, draft| {
                if record.instance.id != instance || record.instance.desired != Desired::Running {
                    draft.unchanged();
                } else {
                    failed(record, draft, &failure);
                }
                Ok(())
            })
            .await;
        if let Err(error) = stored {
            tracing::error!(workspace = id, error = daemon_kit::status::chain(&error), "a failed start could not be stored");
        }
    }
}

fn too_long(deadline: daemon_kit::units::HumanDuration) -> Status {
    daemon_kit::status::from_detail(&ErrorDetail {
        class: Class::DeadlineExceeded.as_str().into(),
        reason: "ResolveDeadline".into(),
        message: format!("looking into the repository took longer than {deadline}"),
        hint: "see whether its host answers, or raise `resolve_deadline`".into(),
    })
}

fn resolved(record: &mut Record, draft: &mut Draft, began: i64, answer: &ResolveResponse, found: &spec::Found) {
    record.commit.clone_from(&answer.commit);
    record.branch = answer.r#ref.strip_prefix("refs/heads/").unwrap_or_default().to_owned();
    let problems = if found.file.is_empty() { Vec::new() } else { found.parsed.warnings(&found.file) };
    let instance = &mut record.instance;
    if found.parsed.has_error() {
        let detail = ErrorDetail {
            class: Class::InvalidArgument.as_str().into(),
            reason: "ConfigMalformed".into(),
            message: problems.join("; "),
            hint: "the workspace starts without it; mend the file, and start a new workspace".into(),
        };
        instance.set_condition(failed_condition("ConfigValid", &detail, draft.now));
    }
    instance.set_step(Step {
        name: "resolve".into(),
        started_unix_us: began * 1000,
        ended_unix_us: draft.now * 1000,
        detail: answer.commit.get(..12).unwrap_or(&answer.commit).to_owned(),
        ..Default::default()
    });
    for step in &answer.timeline {
        let name = if step.name.starts_with("resolve") { step.name.clone() } else { format!("resolve/{}", step.name) };
        if name != "resolve" {
            instance.set_step(Step { name, ..step.clone() });
        }
    }
    for problem in problems {
        if !record.warnings.contains(&problem) {
            record.warnings.push(problem);
        }
    }
    let commit = answer.commit.get(..12).unwrap_or(&answer.commit);
    draft.event("workspace.resolved", format!("the source is commit {commit}"), "orchestrator");
}

fn failed(record: &mut Record, draft: &mut Draft, failure: &Failure) {
    let detail = &failure.detail;
    let instance = &mut record.instance;
    if let Ok((phase, _)) = instance.phase.on(Event::StopRequested) {
        instance.phase = phase;
    }
    instance.desired = Desired::Stopped;
    instance.stopped = draft.now;
    instance.conclusion = Conclusion::Failed.into();
    instance.conclusion_reason.clone_from(&detail.message);
    instance.clear_condition("Scheduled");
    instance.set_condition(failed_condition(failure.condition, detail, draft.now));
    let began = instance.own.timeline.iter().find(|step| step.name == "resolve").map(|step| step.started_unix_us);
    instance.set_step(Step {
        name: "resolve".into(),
        started_unix_us: began.unwrap_or(draft.now * 1000),
        ended_unix_us: draft.now * 1000,
        error: detail.message.clone(),
        ..Default::default()
    });
    draft.event("workspace.failed", format!("the start failed: {}", detail.message), "orchestrator");
}
