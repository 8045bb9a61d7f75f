//! One terminal: a program behind a pseudo terminal that goes on whether anybody looks or not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::v1::TerminalStatus;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::ring::{Piece, Ring};
use super::viewers::{Viewer, Viewers};
use crate::error::SupervisorError;
use crate::process::{Exit, Process, Pty, Size};

/// Read from the kernel at once, and handed to a viewer at once.
pub(super) const CHUNK: usize = 64 << 10;
/// What a viewer that joins is shown of the past.
pub const SCROLLBACK: usize = 256 << 10;
/// What is kept of a task's output for `Logs`.
pub const LOG: usize = 1 << 20;
/// How long output may still come from a background program after the terminal's own program has ended.
const LINGER: Duration = Duration::from_millis(100);

/// A terminal. Shared by its reader, its viewers and the registry.
pub struct Terminal {
    pub(super) alias: String,
    pub(super) command: Vec<String>,
    pub(super) task_id: String,
    pub(super) initial_directory: PathBuf,
    pub(super) starter_token: String,
    pub(super) pid: i32,
    pub(super) exit: Exit,
    pub(super) pty: Pty,
    pub(super) ring: Mutex<Ring>,
    pub(super) facts: Mutex<Facts>,
    pub(super) viewers: Viewers,
    /// Offset of the newest byte; `closed` when none will come.
    pub(super) progress: watch::Sender<Progress>,
    pub(super) signal: Box<dyn Fn(i32) -> bool + Send + Sync>,
    /// Told when something that [`Terminal::status`] shows has changed.
    pub(super) on_change: Box<dyn Fn() + Send + Sync>,
}

/// What may change.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) title: String,
    pub(super) chosen_title: Option<String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) size: Size,
}

/// How far the output has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    pub(super) end: u64,
    pub(super) closed: bool,
}

/// A piece of a task's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Offset of the first byte; above where the reader stood when the bound was reached in between.
    pub offset: u64,
    /// Never empty.
    pub data: bytes::Bytes,
    /// When it was read from the log.
    pub time_unix_ms: i64,
}

/// Reads a terminal's output from an offset on, to its end.
pub struct LogReader {
    terminal: Arc<Terminal>,
    at: u64,
    progress: watch::Receiver<Progress>,
}

impl LogReader {
    /// The next piece; waits for it. `None` when the terminal is closed and all was read.
    pub async fn next(&mut self) -> Option<LogChunk> {
        loop {
            let progress = *self.progress.borrow_and_update();
            if let Some(chunk) = self.now() {
                return Some(chunk);
            }
            if progress.closed {
                return None;
            }
            // An error means that the sender is gone, which `self.terminal` rules out.
            self.progress.changed().await.ok()?;
        }
    }

    /// The next piece if there is one already.
    pub fn now(&mut self) -> Option<LogChunk> {
        let piece = self.terminal.ring.lock().read(self.at, CHUNK);
        self.at = piece.next();
        let chunk = LogChunk { offset: piece.offset, data: piece.data, time_unix_ms: crate::clock::unix_ms() };
        (!chunk.data.is_empty()).then_some(chunk)
    }
}

impl Terminal {
    /// Its name in the API: random, never used again.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The program's number, also that of its session.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The task it belongs to; empty for a user's own.
    pub fn task_id(&self) -> &str {
        &self.task_id
    }

    /// Which token may change its size without force (Gitpod's rule).
    pub fn starter_token(&self) -> &str {
        &self.starter_token
    }

    /// The end of its program.
    pub fn exit(&self) -> Exit {
        self.exit.clone()
    }

    /// Waits until its program has ended and its last output was read.
    pub async fn closed(&self) {
        let _ = self.progress.subscribe().wait_for(|progress| progress.closed).await;
    }

    /// Types bytes. Waits while the program does not read; ends without an error when the program has ended.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), SupervisorError> {
        tokio::select! {
            biased;
            () = self.closed() => Ok(()),
            written = self.pty.write(bytes) => {
                written.map_err(|source| SupervisorError::Terminal { step: "write to", source })
            }
        }
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: i32) -> bool {
        (self.signal)(signal)
    }

    /// Changes the size; the last viewer to say so wins.
    pub fn resize(&self, size: Size) -> Result<(), SupervisorError> {
        let mut facts = self.facts.lock();
        if facts.size == size {
            return Ok(());
        }
        self.pty.resize(size).map_err(|source| SupervisorError::Terminal { step: "resize", source })?;
        facts.size = size;
        drop(facts);
        self.changed();
        Ok(())
    }

    pub(super) fn changed(&self) {
        (self.on_change)();
    }

    /// All output from an offset on.
    pub fn log(self: &Arc<Self>, from: u64) -> LogReader {
        LogReader { terminal: self.clone(), at: from, progress: self.progress.subscribe() }
    }

    /// Looks at it from now on, after what is kept of the past.
    pub fn view(self: &Arc<Self>) -> Viewer {
        let from = self.ring.lock().replay_from(SCROLLBACK);
        let viewer = Viewer::join(self.clone(), from);
        self.changed();
        viewer
    }

    /// As the API tells it.
    pub fn status(&self) -> TerminalStatus {
        let facts = self.facts.lock();
        TerminalStatus {
            alias: self.alias.clone(),
            title: facts.chosen_title.clone().unwrap_or_else(|| facts.title.clone()),
            command: self.command.clone(),
            columns: facts.size.columns.into(),
            rows: facts.size.rows.into(),
            viewers: self.viewers.count(),
            task_id: self.task_id.clone(),
            pid: self.pid.into(),
            working_directory: self.initial_directory.display().to_string(),
        }
    }

    pub(super) fn read(&self, from: u64) -> Piece {
        self.ring.lock().read(from, CHUNK)
    }

    /// Takes the program's output until there is no more, then marks the terminal as closed.
    pub(super) async fn run(self: Arc<Self>, process: Process) {
        let mut buffer = vec![0; CHUNK];
        let ended = async {
            process.wait().await;
            tokio::time::sleep(LINGER).await;
        };
        tokio::pin!(ended);
        loop {
            self.viewers.patience(&self.progress).await;
            let read = tokio::select! {
                biased;
                read = self.pty.read(&mut buffer) => read,
                () = &mut ended => break,
            };
            match read {
                Ok(0) | Err(_) => break,
                Ok(count) => self.publish(&buffer[..count]),
            }
        }
        // Everybody inside has closed it, but its program may live on without a terminal.
        process.wait().await;
        self.progress.send_modify(|progress| progress.closed = true);
    }

    fn publish(&self, bytes: &[u8]) {
        let end = {
            let mut ring = self.ring.lock();
            ring.push(bytes);
            ring.end()
        };
        self.progress.send_modify(|progress| progress.end = end);
    }
}
