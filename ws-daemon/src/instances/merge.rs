//! What the supervisor says and what the node knows, as one status; and what follows from it for the phase.

use api::v1::task_status::State;
use api::v1::{Condition, InstanceSpec, InstanceStatus, Kind, NodeEvent, Step, SupervisorState, Usage, condition};
use domain::class::Class;
use domain::phase::Event;

use super::conditions;
use crate::error::NodeError;
use crate::world::now_ms;

/// Steps that are the node's own; a supervisor cannot speak of them.
const OWN_STEPS: [&str; 7] = ["image", "content", "source", "network", "rootfs", "runtime", "supervisor"];

/// Puts a checked state into the status.
pub fn merge(status: &mut InstanceStatus, own: &[Step], state: SupervisorState) {
    for condition in state.conditions {
        conditions::set(&mut status.conditions, condition);
    }
    status.timeline.retain(is_own);
    status.timeline.extend(state.timeline.into_iter().filter(|step| !is_own(step)));
    timeline(status, own);
    status.tasks = state.tasks;
    status.terminals = state.terminals;
    status.ports = state.ports;
    status.content = state.content.or(status.content.take());
    status.last_activity_unix_ms = status.last_activity_unix_ms.max(state.last_activity_unix_ms);
}

/// Puts the node's own steps before the others.
pub fn timeline(status: &mut InstanceStatus, own: &[Step]) {
    let others: Vec<Step> = status.timeline.drain(..).filter(|step| !is_own(step)).collect();
    status.timeline = own.iter().filter(|step| is_own(step)).cloned().chain(others).collect();
}

fn is_own(step: &Step) -> bool {
    OWN_STEPS.contains(&step.name.split('/').next().unwrap_or_default())
}

/// What a state means for the phase, with the condition of an error.
pub fn event_of(state: &SupervisorState, kind: Kind) -> Option<(Event, Option<Condition>)> {
    let content = state.content.as_ref()?;
    if !content.ready {
        return (!content.error.is_empty()).then(|| (Event::ContentFailed, Some(content_failed(state))));
    }
    let is_finite = matches!(kind, Kind::Job | Kind::Prebuild);
    if is_finite && !state.tasks.is_empty() && state.tasks.iter().all(|task| task.state() == State::Closed) {
        let failed = state.tasks.iter().flat_map(|task| &task.stages).any(|stage| stage.exit_code != 0);
        return Some((if failed { Event::WorkFailed } else { Event::WorkSucceeded }, None));
    }
    Some((Event::ContentReady, None))
}

fn content_failed(state: &SupervisorState) -> Condition {
    let content = state.content.clone().unwrap_or_default();
    let said = state.conditions.iter().find(|one| one.r#type == "ContentReady" && one.status() == condition::Status::False);
    let class = Class::parse(&content.error_class).unwrap_or(Class::Internal);
    Condition {
        r#type: "ContentReady".into(),
        status: condition::Status::False.into(),
        reason: said.map(|one| one.reason.clone()).filter(|reason| !reason.is_empty()).unwrap_or_else(|| "ContentFailed".into()),
        message: content.error,
        hint: content.hint,
        class: class.as_str().into(),
        since_unix_ms: now_ms(),
    }
}

/// Why it ended, where no error and nobody says.
pub fn reason(event: Event, status: &InstanceStatus) -> String {
    match event {
        Event::ContainerExited if status.usage.is_some_and(|usage| usage.oom_kills > 0) => {
            "out of memory: the workspace used more than its class allows, and its PID 1 was killed".into()
        }
        Event::ContainerExited => "PID 1 of the workspace ended without being asked".into(),
        Event::StopRequested => "stopped on request".into(),
        Event::RemoveRequested | Event::ForgetRequested => "removed on request".into(),
        Event::WorkSucceeded => "all tasks ended well".into(),
        Event::WorkFailed => "a task failed".into(),
        _ => String::new(),
    }
}

/// News for people: the kernel killed something for memory.
pub fn out_of_memory(spec: &InstanceSpec, usage: Usage) -> NodeEvent {
    let limit = spec.resources.map_or(0, |resources| resources.memory_bytes) >> 20;
    NodeEvent {
        instance_id: spec.id.clone(),
        kind: "instance.oom".into(),
        message: format!("out of memory: {} processes killed so far at the limit of {limit} MiB", usage.oom_kills),
        time_unix_ms: now_ms(),
    }
}

/// Preparing and starting took too long.
pub fn too_slow(limit_ms: u64) -> Condition {
    let text = format!("not ready {} seconds after the start", limit_ms / 1_000);
    let hint = "the timeline shows which step was slow; start it again";
    conditions::failed("Ready", &NodeError::refused(Class::DeadlineExceeded, "StartDeadlineExceeded", text, hint))
}

/// It has lived as long as it may.
pub fn too_old(limit_ms: u64) -> Condition {
    let text = format!("it ran for its maximum of {} minutes", limit_ms / 60_000);
    conditions::failed(
        "Ready",
        &NodeError::refused(Class::DeadlineExceeded, "LifetimeExpired", text, "start it again; nothing is lost"),
    )
}

/// The container runs, and nobody speaks.
pub fn silent() -> Condition {
    let hint = "the node's log has what PID 1 wrote; is it built for this machine?";
    let error = NodeError::refused(
        Class::Unavailable,
        "SupervisorSilent",
        "the supervisor did not answer after the container's start",
        hint,
    );
    conditions::failed("SandboxReady", &error)
}
