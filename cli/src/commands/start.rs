//! `crannog start`: creates a workspace from a source, or starts a stopped one, and shows the waterfall.

use api::v1::{self, Phase};
use domain::class::{Class, Classify as _};

use super::wait;
use crate::args::Start;
use crate::client::Api;
use crate::error::CommandError;
use crate::waterfall::Live;
use crate::{source, text, view};

pub async fn run(mut api: Api, options: Start) -> Result<(), CommandError> {
    let workspace = match existing(&mut api, &options).await? {
        Some(workspace) => again(&mut api, &workspace).await?,
        None => create(&mut api, &options).await?,
    };
    if options.detach {
        show(&workspace, &options);
        return Ok(());
    }
    follow(&mut api, &workspace, &options).await
}

/// SOURCE may be the name of a workspace. A directory or URL of the same text wins: it is what was said to be started.
async fn existing(api: &mut Api, options: &Start) -> Result<Option<v1::Workspace>, CommandError> {
    let text = &options.source;
    if text.contains(['/', ':', '.']) || std::path::Path::new(text).exists() {
        return Ok(None);
    }
    let request = v1::GetWorkspaceRequest { workspace: text.clone() };
    match api.get_workspace(request).await.map_err(CommandError::from) {
        Ok(found) => Ok(Some(found.into_inner())),
        Err(error) if error.class() == Class::NotFound => Err(CommandError::here(
            Class::NotFound,
            format!("'{text}' is neither a workspace, nor a directory here, nor a URL"),
            "see `crannog list`, or name a source such as https://HOST/OWNER/NAME or ./DIRECTORY",
        )),
        Err(error) => Err(error),
    }
}

async fn again(api: &mut Api, workspace: &v1::Workspace) -> Result<v1::Workspace, CommandError> {
    let request = v1::StartWorkspaceRequest { workspace: workspace.id.clone(), request_id: wait::request_id() };
    Ok(api.start_workspace(request).await?.into_inner())
}

async fn create(api: &mut Api, options: &Start) -> Result<v1::Workspace, CommandError> {
    let source = source::resolve(api, &options.source, options.with_changes).await?;
    let request = v1::CreateWorkspaceRequest {
        request_id: wait::request_id(),
        name: options.name.clone().unwrap_or_default(),
        source: Some(source),
        image: options.image.clone().unwrap_or_default(),
        env: options.env.iter().map(|(name, value)| v1::EnvVar { name: name.clone(), value: value.clone() }).collect(),
        class: options.class.clone().unwrap_or_default(),
        ..Default::default()
    };
    Ok(api.create_workspace(request).await?.into_inner())
}

async fn follow(api: &mut Api, workspace: &v1::Workspace, options: &Start) -> Result<(), CommandError> {
    let mut live = Live::default();
    let quiet = options.output.is_json();
    let seen = |now: &v1::Workspace| {
        if !quiet {
            live.update(&now.timeline);
        }
    };
    let ended = wait::until(api, &workspace.id, seen, wait::start_is_over).await?;
    if ended.phase() != Phase::Running {
        return Err(wait::failure(&ended));
    }
    show(&ended, options);
    Ok(())
}

fn show(workspace: &v1::Workspace, options: &Start) {
    if options.output.is_json() {
        println!("{:#}", view::workspace(workspace));
        return;
    }
    for warning in &workspace.warnings {
        eprintln!("warning: {}", text::printable(warning));
    }
    for condition in workspace.conditions.iter().filter(|c| c.status() == v1::condition::Status::False && !c.message.is_empty()) {
        eprintln!("warning: {}", text::printable(&condition.message));
        if !condition.hint.is_empty() {
            eprintln!("  what to do: {}", text::printable(&condition.hint));
        }
    }
    let name = &workspace.name;
    println!("workspace {name} is {}", view::phase(workspace.phase));
    if options.detach {
        println!("  follow it:  crannog timeline {name}");
        return;
    }
    println!("  enter it:   crannog shell {name}");
    println!("  its tasks:  crannog logs {name} -f");
    println!("  its ports:  crannog ports {name}");
    println!("  stop it:    crannog stop {name}      (everything in it is kept)");
}
