//! Brings a repository in: as the workspace user, inside the sandbox, with the image's own Git. What is fetched is hostile
//! until proven otherwise, and so are its URL and its names.
//!
//! Path: [`plan`] checks the source, [`worktree`] makes the place, [`clone`] fetches and checks out beside it, then it is
//! renamed; [`submodules`] are a step of their own; [`complete`] fetches what a partial clone left out, behind everything
//! else. Every run of Git goes through [`git`]. A failure is an error of [`error`] and a condition; the workspace runs all
//! the same, so that a terminal can be opened.

pub mod bundle;
pub mod changes;
pub mod clone;
pub mod complete;
pub mod credentials;
pub mod error;
pub mod git;
pub mod plan;
pub mod progress;
pub mod redact;
pub mod remote;
pub mod submodules;
pub mod worktree;

use std::path::{Path, PathBuf};

use api::v1::{GitSource, content_spec};
use domain::class::Classify as _;

use self::bundle::Bundle;
use self::clone::{Clone, Cloned};
pub use self::error::ContentError;
use self::git::{Call, Git};
use self::plan::Plan;
use self::remote::Remote;
use self::worktree::{Found, Place};
use crate::Context;
use crate::timeline::StepGuard;

/// Where workspaces live when the specification does not say.
const ROOT: &str = "/workspace";

/// Content is in its place.
#[derive(Debug, Clone)]
pub struct ContentReady {
    /// The repository, or the directory for work where there is none.
    pub directory: PathBuf,
}

/// Brings content in, and says in the hub how far it is and how it ended.
pub async fn bring_in(ctx: &Context) -> Result<ContentReady, ContentError> {
    git_settings(ctx).await;
    let result = match ctx.config.spec.content.as_ref().and_then(|content| content.initial.as_ref()) {
        Some(content_spec::Initial::Git(source)) => from_git(ctx, source).await,
        _ => empty(ctx),
    };
    result.inspect_err(|error| failed(ctx, error))
}

/// What the repository wants of Git, in the file of the workspace's user. Our own runs of Git do not read it.
async fn git_settings(ctx: &Context) {
    let home = Path::new(&ctx.config.supervisor.home);
    let file = home.join(".gitconfig").display().to_string();
    let git = Git::new(ctx, None, "the settings of Git");
    for setting in &ctx.config.spec.git_config {
        let args = ["--file", &file, "--replace-all", "--", &setting.key, &setting.value];
        if let Err(error) = git.run(Call::new("config", home).args(args)).await {
            tracing::warn!(key = setting.key, %error, "set what the repository wants of Git");
        }
    }
}

fn empty(ctx: &Context) -> Result<ContentReady, ContentError> {
    let directory = match ctx.config.spec.repository_directory.as_str() {
        "" => PathBuf::from(ROOT),
        path => PathBuf::from(path),
    };
    worktree::own_directory(&directory, ctx.users.workspace())?;
    ready(ctx, "", "", true);
    Ok(ContentReady { directory })
}

async fn from_git(ctx: &Context, source: &GitSource) -> Result<ContentReady, ContentError> {
    let place = place(ctx, source)?;
    let directory = place.path();
    let plan = Plan::new(source);
    let remote = plan.as_ref().ok().and_then(|plan| plan.remote.clone().or_else(|| origin(plan)));
    let git = Git::new(ctx, remote.as_ref(), &subject(source));
    let found = place.look();
    let cloned = if ctx.config.supervisor.content_ready || found == Found::Clone {
        found_ready(ctx, &git, &directory, source).await
    } else if found == Found::Other {
        return Err(ContentError::Occupied(directory));
    } else {
        clone_into(&git, &plan?, &place, source).await?
    };
    let (commit, branch) = worktree::state(&git, &directory).await;
    ready(ctx, &commit, &branch, !cloned.partial);
    if cloned.partial || (cloned.fresh && !source.remote.is_empty()) {
        later(ctx, remote, subject(source), directory.clone(), cloned);
    }
    Ok(ContentReady { directory })
}

/// A step that was nothing to do; what an earlier run left partial is gone on with.
async fn found_ready(ctx: &Context, git: &Git<'_>, directory: &Path, source: &GitSource) -> Cloned {
    ctx.timeline.step("clone").hit();
    Cloned { partial: source.partial && complete::is_partial(git, directory).await, fresh: false }
}

async fn clone_into(git: &Git<'_>, plan: &Plan, place: &Place, source: &GitSource) -> Result<Cloned, ContentError> {
    let ctx = git.context();
    let step = ctx.timeline.step("clone");
    match clone_and_publish(git, plan, place, source, &step).await {
        Ok(cloned) => {
            step.detail(subject(source));
            Ok(cloned)
        }
        Err(error) => {
            place.discard();
            step.fail(error.to_string());
            Err(error)
        }
    }
}

async fn clone_and_publish(
    git: &Git<'_>,
    plan: &Plan,
    place: &Place,
    source: &GitSource,
    step: &StepGuard,
) -> Result<Cloned, ContentError> {
    let ctx = git.context();
    let user = ctx.users.workspace();
    let incoming = place.prepare(user)?;
    let bundle = match ctx.config.supervisor.bundle_path.as_str() {
        "" => None,
        path => Some(Bundle::open(Path::new(path), &incoming.with_extension("bundle"), user)?),
    };
    let clone = Clone { git, plan, directory: &incoming, step };
    let cloned = clone.run(bundle.as_ref(), source.partial).await?;
    if source.submodules {
        submodules::bring_in(git, &incoming).await;
    }
    if source.lfs {
        large_files_of(git, &incoming).await;
    }
    identity(git, &incoming).await?;
    place.publish()?;
    Ok(cloned)
}

/// Large files are pointers until now. Only with git-lfs in the image; its settings are the clone's own.
async fn large_files_of(git: &Git<'_>, directory: &Path) {
    let step = git.context().timeline.step("clone/lfs");
    let install = Call::new("lfs", directory).args(["install", "--local", "--skip-repo"]).about("the large files");
    let pull = Call::new("lfs", directory).args(["pull"]).about("the large files").progress(&step);
    let result = match git.run(install).await {
        Ok(_) => git.run(pull).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        step.fail(error.to_string());
    }
}

async fn identity(git: &Git<'_>, directory: &Path) -> Result<(), ContentError> {
    let spec = &git.context().config.spec;
    for (key, value) in [("user.name", &spec.git_user_name), ("user.email", &spec.git_user_email)] {
        if !value.is_empty() && !value.starts_with('-') {
            git.run(Call::new("config", directory).args([key, value])).await?;
        }
    }
    Ok(())
}

/// What nobody has to wait for: which branch is origin's own, and the blobs that were left out.
fn later(ctx: &Context, remote: Option<Remote>, subject: String, directory: PathBuf, cloned: Cloned) {
    let ctx = ctx.clone();
    tokio::spawn(async move {
        let git = Git::new(&ctx, remote.as_ref(), &subject);
        let work = async {
            if cloned.fresh {
                // A remote that does not say is no reason to fail.
                let _ = git.run(Call::new("remote", &directory).low().args(["set-head", "origin", "--auto"])).await;
            }
            if cloned.partial {
                completed(&git, &directory).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = ctx.draining.cancelled() => {}
        }
    });
}

async fn completed(git: &Git<'_>, directory: &Path) {
    let ctx = git.context();
    let step = ctx.timeline.step("clone/complete");
    match complete::run(git, directory).await {
        Ok(fetched) => {
            step.detail(format!("{fetched} objects"));
            drop(step);
            ctx.hub.update(|state| state.content.get_or_insert_default().complete = true);
        }
        // Git goes on fetching what it needs by itself; the next start tries again.
        Err(error) => step.fail(error.to_string()),
    }
}

fn place(ctx: &Context, source: &GitSource) -> Result<Place, ContentError> {
    let path = Path::new(&ctx.config.spec.repository_directory);
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(parent), Some(name)) if path.is_absolute() => Place::new(parent, name),
        _ => Place::new(Path::new(ROOT), &source.directory),
    }
}

/// With a bundle nothing is fetched from origin, but submodules may be relative to it.
fn origin(plan: &Plan) -> Option<Remote> {
    plan.origin.as_deref().and_then(|url| Remote::parse(url).ok())
}

fn subject(source: &GitSource) -> String {
    let url = if source.remote.is_empty() { &source.origin } else { &source.remote };
    if url.is_empty() { "the bundle".to_owned() } else { url.clone() }
}

fn ready(ctx: &Context, commit: &str, branch: &str, complete: bool) {
    ctx.hub.update(|state| {
        let content = state.content.get_or_insert_default();
        content.ready = true;
        content.complete = complete;
        content.commit = commit.to_owned();
        content.branch = branch.to_owned();
    });
}

/// The condition is set by who called; this is what `ContentStatus` says beside it.
fn failed(ctx: &Context, error: &ContentError) {
    ctx.hub.update(|state| {
        let content = state.content.get_or_insert_default();
        content.error_class = error.class().to_string();
        content.error = error.to_string();
        content.hint = error.hint().unwrap_or_default();
    });
}
