//! Looking a workspace up, and watching it until it is where it was asked to be.

use api::v1::{self, Phase};
use domain::class::Class;

use crate::client::Api;
use crate::error::CommandError;

/// A fresh idempotency key: a request that is sent again after a lost answer has the same one.
pub fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The workspace that a name, an id or the beginning of an id means.
pub async fn get(api: &mut Api, workspace: &str) -> Result<v1::Workspace, CommandError> {
    let request = v1::GetWorkspaceRequest { workspace: workspace.to_owned() };
    Ok(api.get_workspace(request).await?.into_inner())
}

/// Follows a workspace until `done` says so; each state is shown to `seen`.
pub async fn until(
    api: &mut Api,
    id: &str,
    mut seen: impl FnMut(&v1::Workspace),
    done: impl Fn(&v1::Workspace) -> bool,
) -> Result<v1::Workspace, CommandError> {
    let request = v1::WatchWorkspacesRequest { workspace: id.to_owned() };
    let mut states = api.watch_workspaces(request).await?.into_inner();
    while let Some(workspace) = states.message().await? {
        seen(&workspace);
        if done(&workspace) {
            return Ok(workspace);
        }
    }
    Err(CommandError::here(
        Class::Unavailable,
        "the server ended while it was being watched",
        "the workspace goes on; look again with `crannog list`",
    ))
}

/// Whether a start is over, well or not. `instance` keeps the end of an earlier instance from being taken for it.
pub fn start_is_over(workspace: &v1::Workspace) -> bool {
    workspace.deleted || matches!(workspace.phase(), Phase::Running | Phase::Stopped | Phase::Removed)
}

/// Whether nothing runs any more.
pub fn stop_is_over(workspace: &v1::Workspace) -> bool {
    workspace.deleted || matches!(workspace.phase(), Phase::Stopped | Phase::Removed)
}

/// The error of a start that ended badly: the first condition that is false and says why.
pub fn failure(workspace: &v1::Workspace) -> CommandError {
    let is_false = |c: &&v1::Condition| c.status() == v1::condition::Status::False && !c.class.is_empty();
    let fatal = |c: &&v1::Condition| is_false(c) && c.r#type != "ConfigValid";
    let Some(condition) = workspace.conditions.iter().find(fatal) else {
        let reason = &workspace.conclusion_reason;
        let why = if reason.is_empty() { "no reason is known" } else { reason };
        let message = format!("workspace {} stopped before it ran: {why}", workspace.name);
        return CommandError::here(
            Class::Internal,
            message,
            format!("see `crannog timeline {}` and the server's log", workspace.name),
        );
    };
    CommandError::Server {
        class: Class::parse(&condition.class).unwrap_or(Class::Internal),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        hint: Some(condition.hint.clone()).filter(|hint| !hint.is_empty()),
    }
}
