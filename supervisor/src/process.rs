//! Starts programs: who, where, with what, and how they end. Everything that runs inside was started here.

pub mod oom;
pub mod pty;
pub mod spawner;
pub mod tree;
pub mod usage;
pub mod users;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::unix::pipe;

use crate::reap::Reaper;
pub use crate::reap::{Exit, ExitStatus};
pub use pty::{Pty, Size};
pub use spawner::Spawner;
pub use users::User;

/// What the three standard streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// All three are /dev/null.
    Null,
    /// Output and errors apart; input only if asked for, else /dev/null.
    Pipes {
        /// Whether there is an input.
        stdin: bool,
    },
    /// One pseudo terminal for all three, the controlling terminal of the new session.
    Terminal(Size),
}

/// A program to start. Never parsed by a shell.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments; a program without a slash is looked for in the PATH of `env`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Working directory; `None` is the user's home, or `/` where that does not exist.
    pub cwd: Option<PathBuf>,
    /// Who runs it.
    pub user: User,
    /// Standard streams.
    pub stdio: Stdio,
    /// Soft and hard limits by RLIMIT_*.
    pub limits: Vec<(u32, u64, u64)>,
    /// Kills the whole process group when the [`Process`] is dropped before its end.
    pub kill_on_drop: bool,
    /// Descriptors that the program gets under the numbers that they have here.
    pub keep: Vec<Arc<OwnedFd>>,
    /// Added to the priority: 19 runs behind everything else.
    pub nice: i32,
}

impl Command {
    /// A command for `user` with no environment and no streams.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, user: &User) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            cwd: None,
            user: user.clone(),
            stdio: Stdio::Null,
            limits: Vec::new(),
            kill_on_drop: false,
            keep: Vec::new(),
            nice: 0,
        }
    }

    /// Sets the whole environment.
    pub fn env(mut self, env: BTreeMap<String, String>) -> Self {
        self.env = env;
        self
    }

    /// Sets one more variable.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Sets the standard streams.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// Whether dropping the [`Process`] kills its group.
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// Gives the program a descriptor, under the number that it has here.
    pub fn keep(mut self, descriptor: Arc<OwnedFd>) -> Self {
        self.keep.push(descriptor);
        self
    }

    /// Runs it with a lower priority.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = nice;
        self
    }
}

/// A program that was started. Dropping it leaves it running unless `kill_on_drop` was asked for.
pub struct Process {
    /// Its number, also that of its process group and session.
    pub pid: i32,
    /// With [`Stdio::Pipes`] and an input.
    pub stdin: Option<pipe::Sender>,
    /// With [`Stdio::Pipes`].
    pub stdout: Option<pipe::Receiver>,
    /// With [`Stdio::Pipes`].
    pub stderr: Option<pipe::Receiver>,
    /// With [`Stdio::Terminal`].
    pub pty: Option<Pty>,
    /// Its end.
    pub exit: Exit,
    reaper: Reaper,
    kill_on_drop: bool,
}

impl Process {
    /// Waits for its end.
    pub async fn wait(&self) -> ExitStatus {
        self.exit.wait().await
    }

    /// Sends a signal to its process group; false when it has ended already.
    pub fn signal(&self, signal: i32) -> bool {
        self.reaper.signal_group(self.pid, signal)
    }

    /// A handle that can only signal its group.
    pub fn signaller(&self) -> impl Fn(i32) -> bool + Send + Sync + Clone + 'static {
        let (reaper, pid) = (self.reaper.clone(), self.pid);
        move |signal| reaper.signal_group(pid, signal)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop && self.exit.get().is_none() {
            self.reaper.signal_group(self.pid, nix::libc::SIGKILL);
        }
    }
}
