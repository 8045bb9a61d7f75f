//! From a [`Command`] to a running process.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio as StdStdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sys::process::{ChildSetup, Ids};
use tokio::net::unix::pipe;

use super::{Command, Process, Pty, Stdio};
use crate::error::SupervisorError;
use crate::reap::{Exit, Reaper};

/// One argument or variable may have 128 KiB (MAX_ARG_STRLEN, execve(2)).
const MAX_STRING: usize = 128 << 10;
/// All together: a quarter of the usual 8 MiB stack, as the kernel counts.
const MAX_TOTAL: usize = 2 << 20;

/// Starts programs.
#[derive(Clone)]
pub struct Spawner {
    reaper: Reaper,
    no_new_privileges: bool,
    closed: Arc<AtomicBool>,
}

impl Spawner {
    /// `no_new_privileges` keeps set-user-id programs (sudo) from giving anything.
    pub fn new(reaper: Reaper, no_new_privileges: bool) -> Self {
        Self { reaper, no_new_privileges, closed: Arc::default() }
    }

    /// Starts nothing any more: the instance is shutting down.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Starts a program.
    pub fn spawn(&self, command: Command) -> Result<Process, SupervisorError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SupervisorError::Draining);
        }
        check(&command)?;
        let directory = directory(&command)?;
        let program = command.argv[0].clone();
        let mut std = StdCommand::new(&program);
        std.args(&command.argv[1..]).env_clear().envs(&command.env).current_dir(directory);
        let failed = |source: io::Error| start_error(&program, source);
        let pty = self.connect(&mut std, &command).map_err(failed)?;
        sys::process::prepare(&mut std, self.setup(&command));
        let mut child = None;
        let (pid, exit) = self
            .reaper
            .adopt(|| {
                let started = std.spawn()?;
                let pid = started.id() as i32;
                child = Some(started);
                Ok(pid)
            })
            .map_err(failed)?;
        self.process(pid, exit, child, pty, command.kill_on_drop).map_err(failed)
    }

    fn connect(&self, std: &mut StdCommand, command: &Command) -> io::Result<Option<Pty>> {
        let pipe_or_null = |wanted: bool| if wanted { StdStdio::piped() } else { StdStdio::null() };
        match command.stdio {
            Stdio::Terminal(size) => {
                let (pty, inside) = Pty::open(size, &command.user)?;
                std.stdin(inside.try_clone()?).stdout(inside.try_clone()?).stderr(inside);
                Ok(Some(pty))
            }
            Stdio::Pipes { stdin } => {
                std.stdin(pipe_or_null(stdin)).stdout(StdStdio::piped()).stderr(StdStdio::piped());
                Ok(None)
            }
            Stdio::Null => {
                std.stdin(StdStdio::null()).stdout(StdStdio::null()).stderr(StdStdio::null());
                Ok(None)
            }
        }
    }

    fn setup(&self, command: &Command) -> ChildSetup {
        let user = &command.user;
        let ids = Ids { uid: user.uid, gid: user.gid, groups: user.groups.clone() };
        // Without privilege (a test as an ordinary user) there is only one user to be.
        let is_self = !nix::unistd::geteuid().is_root() && nix::unistd::geteuid().as_raw() == user.uid;
        ChildSetup {
            ids: (!is_self).then_some(ids),
            controlling_terminal: matches!(command.stdio, Stdio::Terminal(_)),
            umask: 0o022,
            limits: command.limits.clone(),
            no_new_privileges: self.no_new_privileges,
            keep: command.keep.iter().map(|fd| fd.as_raw_fd()).collect(),
            nice: command.nice,
            // PID 1 has it, to name the owners of ports; it would let `sudo gdb -p 1` read credentials.
            never: vec![sys::process::CAP_SYS_PTRACE],
        }
    }

    fn process(
        &self,
        pid: i32,
        exit: Exit,
        child: Option<std::process::Child>,
        pty: Option<Pty>,
        kill_on_drop: bool,
    ) -> io::Result<Process> {
        let (stdin, stdout, stderr) = child.map_or((None, None, None), |child| (child.stdin, child.stdout, child.stderr));
        let stdin = stdin.map(|pipe| pipe::Sender::from_owned_fd(OwnedFd::from(pipe))).transpose()?;
        let stdout = stdout.map(|pipe| pipe::Receiver::from_owned_fd(OwnedFd::from(pipe))).transpose()?;
        let stderr = stderr.map(|pipe| pipe::Receiver::from_owned_fd(OwnedFd::from(pipe))).transpose()?;
        Ok(Process { pid, stdin, stdout, stderr, pty, exit, reaper: self.reaper.clone(), kill_on_drop })
    }
}

fn check(command: &Command) -> Result<(), SupervisorError> {
    let Some(program) = command.argv.first().filter(|program| !program.is_empty()) else {
        return Err(SupervisorError::BadCommand("it is empty".into()));
    };
    let variables = command.env.iter().flat_map(|(name, value)| [name, value]);
    if command.argv.iter().chain(variables).any(|text| text.contains('\0')) {
        return Err(SupervisorError::BadCommand("an argument or variable holds a NUL byte".into()));
    }
    if command.env.keys().any(|name| name.is_empty() || name.contains('=')) {
        return Err(SupervisorError::BadCommand("a variable's name is empty or holds \"=\"".into()));
    }
    let lengths = command.argv.iter().map(String::len).chain(command.env.iter().map(|(n, v)| n.len() + v.len() + 1));
    let (largest, total) = lengths.fold((0, 0), |(largest, total), length| (length.max(largest), total + length + 9));
    if largest >= MAX_STRING || total > MAX_TOTAL {
        return Err(SupervisorError::TooLarge { program: program.clone() });
    }
    Ok(())
}

/// A directory that was asked for must be there; without one it is home, or `/` before there is a home.
fn directory(command: &Command) -> Result<PathBuf, SupervisorError> {
    match &command.cwd {
        Some(cwd) if cwd.is_dir() => Ok(cwd.clone()),
        Some(cwd) => Err(SupervisorError::NoDirectory { directory: cwd.display().to_string() }),
        None if Path::new(&command.user.home).is_dir() => Ok(PathBuf::from(&command.user.home)),
        None => Ok(PathBuf::from("/")),
    }
}

fn start_error(program: &str, source: io::Error) -> SupervisorError {
    let program = program.to_owned();
    match source.raw_os_error() {
        Some(nix::libc::ENOENT) => SupervisorError::NoProgram { program },
        Some(nix::libc::EACCES | nix::libc::ENOEXEC) => SupervisorError::NotExecutable { program, source },
        Some(nix::libc::E2BIG) => SupervisorError::TooLarge { program },
        _ => SupervisorError::Start { program, source },
    }
}
