//! What people see of a workspace.

use api::v1::{Phase, Source, Workspace};

use super::record::Record;
use super::settings::Settings;

/// Makes the message of the API.
pub fn view(record: &Record, settings: &Settings) -> Workspace {
    let instance = &record.instance;
    let (own, status, request) = (&instance.own, &instance.status, &record.request);
    let mut conditions = own.conditions.clone();
    conditions.extend(status.conditions.iter().cloned());
    let mut timeline = own.timeline.clone();
    timeline.extend(status.timeline.iter().cloned());
    let spec = instance.spec.as_ref();
    let ended = instance.phase.has_ended();
    Workspace {
        id: record.id.clone(),
        name: record.name.clone(),
        owner: record.owner.clone(),
        source: Some(request.source.clone().unwrap_or_else(Source::default)),
        commit: record.commit.clone(),
        branch: record.branch.clone(),
        image: spec.map_or_else(|| request.image.clone(), |spec| spec.image.clone()),
        node: record.node.clone(),
        phase: Phase::from(instance.phase).into(),
        conditions,
        tasks: status.tasks.clone(),
        terminals: if ended { Vec::new() } else { status.terminals.clone() },
        ports: if ended { Vec::new() } else { record.ports() },
        timeline,
        created_unix_ms: record.created,
        started_unix_ms: instance.started,
        stopped_unix_ms: instance.stopped,
        instance_id: instance.id.clone(),
        conclusion: instance.conclusion,
        conclusion_reason: instance.conclusion_reason.clone(),
        usage: status.usage,
        content: status.content.clone(),
        last_activity_unix_ms: record.last_activity,
        idle_timeout_ms: settings.idle_timeout(request),
        max_lifetime_ms: settings.max_lifetime(request),
        warnings: record.warnings.clone(),
        revision: record.revision,
        deleted: record.deleted,
        class: settings.class_name(request).to_owned(),
        working_directory: spec.map(|spec| spec.working_directory.clone()).unwrap_or_default(),
    }
}
