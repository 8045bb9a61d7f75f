//! The embedded runtime, seen from the daemon: it starts the helper and waits for its answer.

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, MemfdFlags, memfd_create};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::helper::WORD;
use super::{API_FD, CONFIG_FD, Creation, Runtime, State, StateDocument};
use crate::error::NodeError;

/// libcontainer, in a helper process.
#[derive(Debug)]
pub struct Embedded {
    helper: Helper,
}

/// The program that is started as the helper.
#[derive(Debug)]
pub(super) struct Helper {
    /// Held open, so that an upgrade of the binary on disk does not change what runs.
    binary: OwnedFd,
}

impl Embedded {
    /// `program`: the binary to start as the helper; `None` for this one.
    pub fn new(program: Option<&Path>) -> Result<Self, NodeError> {
        Ok(Self { helper: Helper::new(program)? })
    }
}

impl Helper {
    pub(super) fn new(program: Option<&Path>) -> Result<Self, NodeError> {
        let program = program.unwrap_or(Path::new("/proc/self/exe"));
        let binary =
            own_binary(program).and_then(sys::inherit::park).map_err(NodeError::io(format!("open {}", program.display())))?;
        Ok(Self { binary })
    }

    /// Starts the helper and waits until it has ended. It answers in a memory file, not through a pipe: where it is killed,
    /// half-made processes of the container would hold the pipe open for ever.
    pub(super) fn run(&self, words: &[&std::ffi::OsStr], descriptors: Vec<(OwnedFd, i32)>) -> io::Result<Result<(), String>> {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.binary.as_raw_fd()));
        let mut answer = fs::File::from(memfd_create("crannog-answer", MemfdFlags::CLOEXEC)?);
        command.arg(WORD).args(words).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(answer.try_clone()?).stderr(answer.try_clone()?);
        sys::inherit::at(&mut command, descriptors)?;
        let status = command.status()?;
        if status.success() {
            return Ok(Ok(()));
        }
        let mut said = Vec::new();
        answer.rewind()?;
        answer.read_to_end(&mut said)?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok(Err(if said.is_empty() { format!("the runtime helper ended with {status}") } else { said }))
    }
}

impl Creation {
    /// The descriptors at the numbers that the helper knows.
    pub(super) fn descriptors(self) -> Vec<(OwnedFd, i32)> {
        vec![(self.api, API_FD), (self.config, CONFIG_FD), (self.root, 5), (self.log, 6)]
    }
}

impl Runtime for Embedded {
    fn create(&self, creation: Creation) -> Result<(), NodeError> {
        let states = states(&creation.bundle);
        let (id, bundle) = (creation.id.clone(), creation.bundle.clone());
        let words = ["create".as_ref(), states.as_os_str(), id.as_ref(), bundle.as_os_str()];
        let answer = self.helper.run(&words, creation.descriptors());
        finish(answer, &format!("create the container {id}"))
    }

    fn start(&self, id: &str, bundle: &Path) -> Result<(), NodeError> {
        let states = states(bundle);
        let answer = self.helper.run(&["start".as_ref(), states.as_os_str(), id.as_ref()], vec![]);
        finish(answer, &format!("start the container {id}"))
    }

    fn state(&self, id: &str, bundle: &Path) -> Result<State, NodeError> {
        Ok(read_state(id, bundle)?.map_or(State::Absent, |document| document.state()))
    }

    fn kill(&self, id: &str, bundle: &Path, signal: i32) -> Result<(), NodeError> {
        let Some(pid) = read_state(id, bundle)?.and_then(|document| document.pid) else { return Ok(()) };
        let signal = nix::sys::signal::Signal::try_from(signal).map_err(|errno| NodeError::Io {
            doing: format!("send signal {signal} to the container {id}"),
            source: errno.into(),
        })?;
        match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(errno) => Err(NodeError::Io { doing: format!("send {signal} to the container {id}"), source: errno.into() }),
        }
    }

    /// Processes and groups are the daemon's business; what is left is libcontainer's directory.
    fn delete(&self, id: &str, bundle: &Path) -> Result<(), NodeError> {
        match fs::remove_dir_all(states(bundle).join(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(NodeError::Io { doing: format!("remove the state of the container {id}"), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Where libcontainer keeps `ID/state.json`.
pub(super) fn states(bundle: &Path) -> PathBuf {
    bundle.join("runtime")
}

pub(super) fn finish(answer: io::Result<Result<(), String>>, doing: &str) -> Result<(), NodeError> {
    answer
        .map_err(NodeError::io(format!("{doing}: start the runtime helper")))?
        .map_err(|said| NodeError::Inside { doing: doing.to_owned(), source: anyhow::anyhow!(said) })
}

fn read_state(id: &str, bundle: &Path) -> Result<Option<StateDocument>, NodeError> {
    let file = states(bundle).join(id).join("state.json");
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(NodeError::Io { doing: format!("read {}", file.display()), source: error }),
    };
    // Half a document is what a helper that was killed leaves: nothing was started then.
    Ok(serde_json::from_slice(&bytes).ok())
}

/// The binary on a read-only mount of its own, so that `/proc/PID/exe` of the helper cannot be opened for writing, whoever
/// tries. Where it cannot be cloned (it was deleted, or is on a file system that refuses) it is held as it is: in a user
/// namespace the machine's root is nobody, and may not write it either.
fn own_binary(program: &Path) -> io::Result<OwnedFd> {
    let file = fs::File::open(program)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let Ok(clone) = open_tree(CWD, fs::canonicalize(program)?, flags) else { return Ok(file.into()) };
    match sys::mount::set_attributes(&clone, sys::mount::READ_ONLY, None) {
        Ok(()) => Ok(clone),
        Err(_) => Ok(file.into()),
    }
}
