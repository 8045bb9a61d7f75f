//! One task: its files, its terminal, and what is known of it until the terminal ends.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use api::v1::{Kind, StageResult, TaskSpec, task_status::State};

use super::driver::{self, Shell};
use super::report::{Report, Reports};
use crate::Context;
use crate::error::SupervisorError;
use crate::terminals::{OpenTerminal, Terminal};
use crate::timeline::StepGuard;

/// A task that is to be started.
pub struct Run<'a> {
    pub ctx: &'a Context,
    pub task: &'a TaskSpec,
    /// For the driver, the stages and the FIFO; ours.
    pub directory: PathBuf,
    /// Where the shell starts.
    pub cwd: &'a Path,
    pub run_init: bool,
}

/// A task that runs.
pub struct Running {
    ctx: Context,
    id: String,
    terminal: Arc<Terminal>,
    reports: Reports,
    stage: Option<(&'static str, Instant, StepGuard)>,
}

/// Why a task does not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    #[error("cannot write the task's files")]
    Files(#[source] io::Error),
    #[error("cannot open the task's terminal")]
    Terminal(#[source] SupervisorError),
}

impl Run<'_> {
    /// Opens the terminal; the shell runs from here on.
    pub fn start(&self) -> Result<Running, NotStarted> {
        let stay = self.ctx.config.spec.kind() != Kind::Prebuild;
        let stages = driver::stages(self.task, self.ctx.config.spec.kind(), self.run_init);
        let user = self.ctx.users.workspace();
        let env = self.ctx.environment.for_user(user);
        let bash = find("bash", &env);
        let shell = if bash.is_some() { Shell::Bash } else { Shell::Sh };
        let reports = self.files(&stages, shell, stay).map_err(NotStarted::Files)?;
        let driver = self.directory.join("driver").display().to_string();
        let command = match bash {
            Some(bash) => vec![bash, "--rcfile".into(), driver, "-i".into()],
            None => vec!["/bin/sh".into(), driver],
        };
        let terminal = self.ctx.terminals.open(OpenTerminal {
            title: title(self.task),
            command,
            env: self.environment(&env),
            cwd: Some(self.cwd.to_owned()),
            task_id: self.task.id.clone(),
            log: true,
            ..Default::default()
        });
        let terminal = terminal.map_err(NotStarted::Terminal)?;
        Ok(Running { ctx: self.ctx.clone(), id: self.task.id.clone(), terminal, reports, stage: None })
    }

    fn files(&self, stages: &[driver::Stage<'_>], shell: Shell, stay: bool) -> io::Result<Reports> {
        fs::create_dir_all(&self.directory)?;
        let write = |name: &str, text: &str| {
            let path = self.directory.join(name);
            fs::write(&path, format!("{text}\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
        };
        for (name, text) in stages {
            write(name, text)?;
        }
        write("driver", &driver::program(&self.directory, stages, shell, stay))?;
        Reports::create(&self.directory.join("report"), self.ctx.users.workspace())
    }

    /// A history of its own, so that the commands of one task are not lost among those of others.
    fn environment(&self, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = self.task.env.iter().map(|v| (v.name.clone(), v.value.clone())).collect();
        let home = Path::new(&self.ctx.users.workspace().home);
        let history = home.join(format!(".bash_history_task_{}", self.task.id));
        if !known.contains_key("HISTFILE") {
            env.entry("HISTFILE".into()).or_insert_with(|| history.display().to_string());
        }
        env
    }
}

impl Running {
    /// The terminal's alias.
    pub fn alias(&self) -> &str {
        self.terminal.alias()
    }

    /// Follows the task until its terminal ends.
    pub async fn follow(mut self) {
        let exit = self.terminal.exit();
        loop {
            let report = tokio::select! {
                biased;
                report = self.reports.next() => report,
                _ = exit.wait() => break,
            };
            match report {
                Ok(report) => self.note(report),
                Err(error) => {
                    tracing::warn!(task = self.id, %error, "what a task says about itself cannot be read");
                    exit.wait().await;
                    break;
                }
            }
        }
        for report in self.reports.rest() {
            self.note(report);
        }
        self.closed(exit.wait().await.code);
    }

    fn note(&mut self, report: Report) {
        match report {
            Report::Begin(stage) => {
                let step = self.ctx.timeline.step(&format!("task/{}/{stage}", self.id));
                self.stage = Some((stage, Instant::now(), step));
                self.status(|status| status.stage = stage.to_owned());
            }
            Report::End(stage, code) => self.end(stage, code),
            Report::Shell => self.status(|status| status.stage = "shell".to_owned()),
        }
    }

    /// Only the end of the stage that runs counts, and only once.
    fn end(&mut self, stage: &str, exit_code: i32) {
        let Some((name, began, step)) = self.stage.take_if(|(name, ..)| *name == stage) else { return };
        let duration_ms = began.elapsed().as_millis() as u64;
        match exit_code {
            0 => drop(step),
            code => step.fail(format!("exit status {code}")),
        }
        let result = StageResult { stage: name.to_owned(), exit_code, duration_ms };
        self.status(|status| status.stages.push(result));
        super::look_at_inits(&self.ctx);
    }

    /// The stage that ran when the terminal ended, ended with it.
    fn closed(&mut self, code: i32) {
        if let Some((stage, ..)) = self.stage {
            self.end(stage, code);
        }
        self.status(|status| status.set_state(State::Closed));
        super::look_at_inits(&self.ctx);
    }

    fn status(&self, change: impl FnOnce(&mut api::v1::TaskStatus)) {
        self.ctx.hub.update(|state| {
            if let Some(status) = state.tasks.iter_mut().find(|status| status.id == self.id) {
                change(status);
            }
        });
    }
}

/// As people see a task: its name, or its number.
pub fn title(task: &TaskSpec) -> String {
    match (task.name.trim(), task.id.parse::<u32>()) {
        ("", Ok(index)) => format!("Task {}", index + 1),
        ("", Err(_)) => "Task".to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn find(program: &str, env: &BTreeMap<String, String>) -> Option<String> {
    let path = env.get("PATH")?;
    let executable = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = path.split(':').filter(|d| d.starts_with('/')).map(|d| Path::new(d).join(program)).find(executable)?;
    Some(found.display().to_string())
}

/// Which tasks still owe the end of their `init`.
pub fn owing(tasks: &[TaskSpec], states: &[api::v1::TaskStatus]) -> Vec<String> {
    let known: HashMap<&str, &api::v1::TaskStatus> = states.iter().map(|s| (s.id.as_str(), s)).collect();
    let owes = |task: &&TaskSpec| {
        let ended =
            known.get(task.id.as_str()).is_some_and(|s| s.state() == State::Closed || s.stages.iter().any(|r| r.stage == "init"));
        !task.init.trim().is_empty() && !ended
    };
    tasks.iter().filter(owes).map(|task| task.id.clone()).collect()
}
