//! `crannog stop`, `crannog restart`

use api::v1;
use domain::class::Class;

use super::wait;
use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;
use crate::view;
use crate::waterfall::Live;

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let workspace = stop(&mut api, &options.target.workspace).await?;
    if options.output.is_json() {
        println!("{:#}", view::workspace(&workspace));
    } else {
        println!("workspace {} is stopped; everything in it is kept", workspace.name);
        println!("  start it again: crannog start {}", workspace.name);
    }
    Ok(())
}

pub async fn restart(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let stopped = stop(&mut api, &options.target.workspace).await?;
    let request = v1::StartWorkspaceRequest { workspace: stopped.id.clone(), request_id: wait::request_id() };
    api.start_workspace(request).await?;
    let mut live = Live::default();
    let quiet = options.output.is_json();
    let seen = |now: &v1::Workspace| {
        if !quiet {
            live.update(&now.timeline);
        }
    };
    let ended = wait::until(&mut api, &stopped.id, seen, wait::start_is_over).await?;
    if ended.phase() != v1::Phase::Running {
        return Err(wait::failure(&ended));
    }
    if quiet {
        println!("{:#}", view::workspace(&ended));
    } else {
        println!("workspace {} runs again", ended.name);
    }
    Ok(())
}

/// Stops and waits until what was written is kept.
async fn stop(api: &mut Api, workspace: &str) -> Result<v1::Workspace, CommandError> {
    let found = wait::get(api, workspace).await?;
    let request = v1::StopWorkspaceRequest {
        workspace: found.id.clone(),
        request_id: wait::request_id(),
        reason: "asked for on the command line".into(),
    };
    api.stop_workspace(request).await?;
    let ended = wait::until(api, &found.id, |_| {}, wait::stop_is_over).await?;
    let is_unkept = |c: &&v1::Condition| c.r#type == "ContentKept" && c.status() == v1::condition::Status::False;
    match ended.conditions.iter().find(is_unkept) {
        Some(condition) => Err(CommandError::here(Class::DataLoss, condition.message.clone(), condition.hint.clone())),
        None => Ok(ended),
    }
}
