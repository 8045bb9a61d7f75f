//! All terminals of the instance. PID 1 owns them: they outlive every viewer and every daemon outside.

mod facts;
mod ring;
mod terminal;
pub mod viewers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{SIGCONT, SIGHUP, SIGKILL, SIGTERM};
use parking_lot::Mutex;

use crate::config::Config;
use crate::environment::Environment;
use crate::error::SupervisorError;
use crate::hub::Hub;
use crate::process::users::{User, Users};
use crate::process::{Command, Process, Size, Spawner, Stdio};
pub use facts::Title;
use ring::Ring;
use terminal::{Facts, Progress};
pub use terminal::{LOG, LogChunk, LogReader, SCROLLBACK, Terminal};
pub use viewers::{Seen, Viewer};

/// Open at once, at most.
const MAX_OPEN: usize = 256;
/// Ended ones whose output and exit status can still be asked for.
const KEPT: usize = 16;
/// From SIGHUP and SIGTERM to SIGKILL when one terminal is closed.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What a new terminal is to be.
#[derive(Debug, Clone, Default)]
pub struct OpenTerminal {
    /// Shown to people; empty: the program in the foreground.
    pub title: String,
    /// argv; empty: the user's shell.
    pub command: Vec<String>,
    /// Added to the user's environment.
    pub env: BTreeMap<String, String>,
    /// `None`: the instance's working directory, or home while that does not exist.
    pub cwd: Option<PathBuf>,
    /// Empty: the workspace user.
    pub user: String,
    /// At the beginning.
    pub size: Size,
    /// Of the task that it shows; empty for a user's own.
    pub task_id: String,
    /// Keeps more of the output, for [`Terminals::task`] to find after its end too.
    pub log: bool,
    /// Free words of whoever opened it.
    pub annotations: BTreeMap<String, String>,
}

/// The registry.
#[derive(Clone)]
pub struct Terminals(Arc<Inner>);

struct Inner {
    list: Mutex<List>,
    spawner: Spawner,
    users: Users,
    environment: Arc<Environment>,
    working_directory: PathBuf,
    hub: Hub,
}

#[derive(Default)]
struct List {
    open: Vec<Arc<Terminal>>,
    ended: VecDeque<Arc<Terminal>>,
    tasks: HashMap<String, Arc<Terminal>>,
}

impl Terminals {
    /// An empty registry.
    pub fn new(config: &Config, spawner: Spawner, users: Users, environment: Arc<Environment>, hub: Hub) -> Self {
        let working_directory = PathBuf::from(&config.spec.working_directory);
        Self(Arc::new(Inner { list: Mutex::default(), spawner, users, environment, working_directory, hub }))
    }

    /// Opens a terminal and starts its program.
    pub fn open(&self, open: OpenTerminal) -> Result<Arc<Terminal>, SupervisorError> {
        if self.0.list.lock().open.len() >= MAX_OPEN {
            return Err(SupervisorError::TooManyTerminals(MAX_OPEN));
        }
        let user = self.0.users.find(&open.user)?;
        let command = self.command(&open, &user);
        let initial_directory = command.cwd.clone().unwrap_or_else(|| PathBuf::from(&user.home));
        let argv = command.argv.clone();
        let mut process = self.0.spawner.spawn(command)?;
        let pty = process.pty.take().ok_or_else(|| SupervisorError::BadCommand("it has no terminal".into()))?;
        let changed = self.clone();
        let terminal = Arc::new(Terminal {
            alias: uuid::Uuid::new_v4().to_string(),
            command: argv,
            initial_directory,
            starter_token: uuid::Uuid::new_v4().to_string(),
            pid: process.pid,
            exit: process.exit.clone(),
            pty,
            ring: Mutex::new(Ring::new(if open.log { LOG } else { SCROLLBACK })),
            facts: Mutex::new(Facts { title: open.title, annotations: open.annotations, size: open.size, ..Facts::default() }),
            viewers: viewers::Viewers::default(),
            progress: tokio::sync::watch::Sender::new(Progress::default()),
            signal: Box::new(process.signaller()),
            on_change: Box::new(move || changed.publish()),
            task_id: open.task_id,
        });
        self.enter(terminal.clone(), process, open.log);
        Ok(terminal)
    }

    fn command(&self, open: &OpenTerminal, user: &User) -> Command {
        // Not as a login shell: /etc/profile would overwrite the PATH that the image chose.
        let shell = || vec![user.shell.clone()];
        let argv = if open.command.is_empty() { shell() } else { open.command.clone() };
        let mut env = self.0.environment.for_user(user);
        env.insert("TERM".into(), "xterm-256color".into());
        env.extend(open.env.clone());
        let mut command = Command::new(argv, user).env(env).stdio(Stdio::Terminal(open.size));
        command.cwd = open.cwd.clone().or_else(|| self.working_directory());
        command
    }

    /// The instance's working directory, once it exists.
    pub fn working_directory(&self) -> Option<PathBuf> {
        Some(self.0.working_directory.clone()).filter(|directory| Path::is_dir(directory))
    }

    fn enter(&self, terminal: Arc<Terminal>, process: Process, log: bool) {
        let mut list = self.0.list.lock();
        list.open.push(terminal.clone());
        if log && !terminal.task_id.is_empty() {
            list.tasks.insert(terminal.task_id.clone(), terminal.clone());
        }
        drop(list);
        self.publish();
        let terminals = self.clone();
        tokio::spawn(async move {
            terminal.clone().run(process).await;
            terminals.leave(&terminal);
        });
    }

    fn leave(&self, terminal: &Arc<Terminal>) {
        let mut list = self.0.list.lock();
        list.open.retain(|open| !Arc::ptr_eq(open, terminal));
        list.ended.push_back(terminal.clone());
        if list.ended.len() > KEPT {
            list.ended.pop_front();
        }
        drop(list);
        self.publish();
    }

    fn publish(&self) {
        let statuses: Vec<_> = self.list().iter().map(|terminal| terminal.status()).collect();
        self.0.hub.update(|state| state.terminals = statuses);
    }

    /// The open ones, oldest first.
    pub fn list(&self) -> Vec<Arc<Terminal>> {
        self.0.list.lock().open.clone()
    }

    /// An open one, or one of the last that ended.
    pub fn find(&self, alias: &str) -> Result<Arc<Terminal>, SupervisorError> {
        let list = self.0.list.lock();
        let mut known = list.open.iter().chain(&list.ended).chain(list.tasks.values());
        known.find(|terminal| terminal.alias == alias).cloned().ok_or_else(|| SupervisorError::NoTerminal(alias.to_owned()))
    }

    /// The (last) logged terminal of a task, also after its end.
    pub fn task(&self, task_id: &str) -> Option<Arc<Terminal>> {
        self.0.list.lock().tasks.get(task_id).cloned()
    }

    /// Ends a terminal's programs: SIGHUP and SIGTERM, then SIGKILL. Answers when it has ended.
    pub async fn close(&self, alias: &str) -> Result<(), SupervisorError> {
        let terminal = self.find(alias)?;
        for signal in [SIGHUP, SIGTERM, SIGCONT] {
            terminal.signal(signal);
        }
        if tokio::time::timeout(CLOSE_GRACE, terminal.exit.wait()).await.is_err() {
            terminal.signal(SIGKILL);
        }
        terminal.closed().await;
        Ok(())
    }
}
