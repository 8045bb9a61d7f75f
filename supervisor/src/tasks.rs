//! Tasks of the configuration: one terminal each, all at once. [`driver`] is the shell program that runs the stages of
//! one, [`report`] what it says, [`run`] follows it. A task that fails, hangs or floods is nobody else's business: its
//! terminal is its own, and its output is bounded.

mod driver;
mod report;
mod run;

use std::path::{Path, PathBuf};

use api::v1::{Condition, TaskSpec, TaskStatus, condition, task_status::State};

use self::run::{Run, title};
use crate::Context;
use crate::content::ContentReady;

/// Where the files of tasks are; root's, and gone with the instance.
const DIRECTORY: &str = "/run/crannog/tasks";

/// Starts every task; ends when all their terminals are open.
pub async fn run(ctx: Context, content: ContentReady) {
    run_in(ctx, content, Path::new(DIRECTORY)).await;
}

/// The same, with the tasks' files below another directory.
pub async fn run_in(ctx: Context, content: ContentReady, files: &Path) {
    let tasks = ctx.config.spec.tasks.clone();
    ctx.hub.update(|state| state.tasks = tasks.iter().map(opening).collect());
    look_at_inits(&ctx);
    let cwd = ctx.terminals.working_directory().unwrap_or(content.directory);
    let mut failed = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let directory: PathBuf = files.join(index.to_string());
        let run = Run { ctx: &ctx, task, directory, cwd: &cwd, run_init: ctx.config.supervisor.run_init };
        match run.start() {
            Ok(running) => {
                let alias = running.alias().to_owned();
                change(&ctx, task, |status| {
                    status.set_state(State::Running);
                    status.terminal = alias;
                });
                tokio::spawn(running.follow());
            }
            Err(error) => {
                tracing::error!(task = task.id, error = &error as &dyn std::error::Error, "a task does not start");
                change(&ctx, task, |status| status.set_state(State::Closed));
                failed.push(format!("{}: {error}", title(task)));
                look_at_inits(&ctx);
            }
        }
    }
    ctx.hub.condition(started(&failed));
}

/// Says so when every `init` has ended. Terminals that end because the instance stops have not ended theirs.
fn look_at_inits(ctx: &Context) {
    if ctx.draining.is_cancelled() {
        return;
    }
    let spec = &ctx.config.spec;
    ctx.hub.update(|state| {
        if !ctx.config.supervisor.run_init || run::owing(&spec.tasks, &state.tasks).is_empty() {
            state.content.get_or_insert_default().init_done = true;
        }
    });
}

fn opening(task: &TaskSpec) -> TaskStatus {
    TaskStatus { id: task.id.clone(), name: title(task), state: State::Opening.into(), ..Default::default() }
}

fn change(ctx: &Context, task: &TaskSpec, change: impl FnOnce(&mut TaskStatus)) {
    ctx.hub.update(|state| {
        if let Some(status) = state.tasks.iter_mut().find(|status| status.id == task.id) {
            change(status);
        }
    });
}

fn started(failed: &[String]) -> Condition {
    let status = if failed.is_empty() { condition::Status::True } else { condition::Status::False };
    Condition {
        r#type: "TasksStarted".into(),
        status: status.into(),
        reason: if failed.is_empty() { "TasksStarted" } else { "TerminalFailed" }.into(),
        message: failed.join("; "),
        hint: if failed.is_empty() { "" } else { "the other tasks run; end some processes and restart the workspace" }.into(),
        since_unix_ms: crate::clock::unix_ms(),
        class: if failed.is_empty() { "" } else { domain::class::Class::ResourceExhausted.as_str() }.into(),
    }
}
