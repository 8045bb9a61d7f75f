//! Logs as files: `workspaces/ID/logs/INSTANCE/TASK/OFFSET.log`, each named by the offset of its first byte. The oldest go
//! when a task has written more than the bound; a gap in the offsets is where something went.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use api::v1::LogsResponse;
use tokio::sync::watch;

use crate::content_layer::discard;
use crate::error::NodeError;
use crate::layout::{self, Layout};

/// Tasks of one instance whose logs are kept; a supervisor that makes up more is not followed.
const MAX_TASKS: usize = 64;
/// Files of one task, whatever gaps a supervisor makes up.
const MAX_SEGMENTS: usize = 32;
/// What is read at a time.
const PIECE: u64 = 64 << 10;
const CLOSED: &str = "closed";

/// Logs of all workspaces of a node.
pub struct LogSpool {
    layout: Layout,
    limit: u64,
    news: watch::Sender<u64>,
}

/// A piece of the output of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Task id.
    pub task: String,
    /// Of the first byte.
    pub offset: u64,
    /// The bytes.
    pub data: Vec<u8>,
    /// Nothing comes after it.
    pub closed: bool,
}

impl LogSpool {
    /// Keeps at most `limit` bytes of each task.
    pub fn new(layout: Layout, limit: u64) -> Self {
        Self { layout, limit, news: watch::Sender::new(0) }
    }

    /// A number that grows with everything that is kept.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Begins to keep the logs of an instance; those of the workspace's instances before it go.
    pub fn begin(&self, workspace: &str, instance: &str) -> Result<(), NodeError> {
        let directory = self.of_workspace(workspace);
        layout::private_directory(&directory.join(instance))?;
        for older in names(&directory).into_iter().filter(|name| name != instance) {
            discard(&directory.join(older), &self.layout.trash())?;
        }
        Ok(())
    }

    /// Which instance's logs there are.
    pub fn instance(&self, workspace: &str) -> Option<String> {
        names(&self.of_workspace(workspace)).into_iter().next()
    }

    /// Tasks that there are logs of, in order.
    pub fn tasks(&self, workspace: &str, instance: &str) -> Vec<String> {
        let mut tasks = names(&self.of_workspace(workspace).join(instance));
        tasks.sort_by_key(|task| (task.len(), task.clone()));
        tasks
    }

    /// Where the log of each task ends.
    pub fn ends(&self, workspace: &str, instance: &str) -> HashMap<String, u64> {
        let directory = self.of_workspace(workspace).join(instance);
        let tasks = self.tasks(workspace, instance);
        tasks
            .into_iter()
            .map(|task| {
                let end = end(&segments(&directory.join(&task)));
                (task, end)
            })
            .collect()
    }

    /// Keeps a piece; what is kept already is not kept twice.
    pub fn append(&self, workspace: &str, instance: &str, piece: &LogsResponse) -> Result<(), NodeError> {
        let directory = self.of_workspace(workspace).join(instance);
        if !is_task_id(&piece.task) {
            return Ok(());
        }
        let task = directory.join(&piece.task);
        if !task.is_dir() {
            if names(&directory).len() >= MAX_TASKS {
                return Ok(());
            }
            layout::private_directory(&task)?;
        }
        self.write(&task, piece).map_err(NodeError::io(format!("keep the log of task {}", piece.task)))?;
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }

    fn write(&self, task: &Path, piece: &LogsResponse) -> std::io::Result<()> {
        let mut segments = segments(task);
        let end = end(&segments);
        let known = end.saturating_sub(piece.offset).min(piece.data.len() as u64) as usize;
        let (data, offset) = (&piece.data[known..], piece.offset.saturating_add(known as u64));
        if !data.is_empty() {
            let last = segments.last_key_value().filter(|(_, length)| offset == end && **length < self.limit / 4);
            let start = last.map_or(offset, |(start, _)| *start);
            std::fs::OpenOptions::new().create(true).append(true).open(segment(task, start))?.write_all(data)?;
            *segments.entry(start).or_default() += data.len() as u64;
            self.drop_oldest(task, segments)?;
        }
        if piece.closed {
            std::fs::write(task.join(CLOSED), "")?;
        }
        Ok(())
    }

    fn drop_oldest(&self, task: &Path, mut segments: BTreeMap<u64, u64>) -> std::io::Result<()> {
        while segments.len() > 1 && (segments.values().sum::<u64>() > self.limit || segments.len() > MAX_SEGMENTS) {
            let Some((start, _)) = segments.pop_first() else { break };
            std::fs::remove_file(segment(task, start))?;
        }
        Ok(())
    }

    /// The next piece of a task at or after `offset`; empty data when there is none now.
    pub fn read(&self, workspace: &str, instance: &str, task: &str, offset: u64) -> Result<Piece, NodeError> {
        let directory = self.of_workspace(workspace).join(instance).join(task);
        // Looked for first: a log that is closed after its last byte was read is not closed yet for the reader.
        let closed = directory.join(CLOSED).exists();
        let segments = segments(&directory);
        let mut piece = Piece { task: task.into(), offset, data: Vec::new(), closed: closed && offset >= end(&segments) };
        let Some((start, _)) = segments.iter().find(|(start, length)| *start + **length > offset) else { return Ok(piece) };
        piece.offset = offset.max(*start);
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(segment(&directory, *start))?;
            file.seek(SeekFrom::Start(piece.offset - start))?;
            let mut data = Vec::new();
            file.take(PIECE).read_to_end(&mut data)?;
            Ok(data)
        };
        piece.data = match read() {
            // It was the oldest, and went meanwhile: the next call finds the one after it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(NodeError::io(format!("read the log of task {task}")))?,
        };
        Ok(piece)
    }

    fn of_workspace(&self, workspace: &str) -> PathBuf {
        self.layout.workspace(workspace).join("logs")
    }
}

fn is_task_id(task: &str) -> bool {
    (1..=64).contains(&task.len()) && task.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn segment(task: &Path, start: u64) -> PathBuf {
    task.join(format!("{start:020}.log"))
}

/// First offset → length, of all files of a task.
fn segments(task: &Path) -> BTreeMap<u64, u64> {
    let Ok(entries) = std::fs::read_dir(task) else { return BTreeMap::new() };
    let parse = |entry: std::fs::DirEntry| {
        let start = entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
        Some((start, entry.metadata().ok()?.len()))
    };
    entries.flatten().filter_map(parse).collect()
}

fn end(segments: &BTreeMap<u64, u64>) -> u64 {
    segments.last_key_value().map_or(0, |(start, length)| start.saturating_add(*length))
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(limit: u64) -> (tempfile::TempDir, LogSpool) {
        let directory = tempfile::tempdir().expect("directory");
        let spool = LogSpool::new(Layout::open(directory.path()).expect("layout"), limit);
        spool.begin("w", "i").expect("begun");
        (directory, spool)
    }

    fn piece(task: &str, offset: u64, data: &str) -> LogsResponse {
        LogsResponse { task: task.into(), offset, data: data.to_owned().into(), ..LogsResponse::default() }
    }

    fn text(spool: &LogSpool, offset: u64) -> String {
        String::from_utf8(spool.read("w", "i", "0", offset).expect("read").data).expect("text")
    }

    #[test]
    fn what_is_sent_twice_is_kept_once_and_read_from_any_offset() {
        let (_directory, spool) = spool(1 << 20);
        spool.append("w", "i", &piece("0", 0, "hello ")).expect("kept");
        spool.append("w", "i", &piece("0", 3, "lo world")).expect("kept");
        spool.append("w", "i", &piece("0", 0, "hello world")).expect("kept");
        assert_eq!(text(&spool, 0), "hello world");
        assert_eq!(text(&spool, 6), "world");
        assert_eq!(spool.ends("w", "i"), HashMap::from([("0".to_owned(), 11)]));
    }

    #[test]
    fn a_flood_keeps_its_end_within_the_bound() {
        let (_directory, spool) = spool(4_000);
        for n in 0..100 {
            spool.append("w", "i", &piece("0", n * 500, &format!("{n:0500}"))).expect("kept");
        }
        let kept: u64 = segments(&spool.of_workspace("w").join("i/0")).values().sum();
        assert!((2_000..=4_000).contains(&kept), "{kept}");
        let first = spool.read("w", "i", "0", 0).expect("read");
        assert!(first.offset >= 46_000 - 500, "the gap shows: {}", first.offset);
        assert_eq!(text(&spool, 49_500), format!("{:0500}", 99));
    }

    #[test]
    fn a_hostile_supervisor_makes_neither_paths_nor_files_without_end() {
        let (directory, spool) = spool(4_000);
        spool.append("w", "i", &piece("../../../escape", 0, "x")).expect("ignored");
        spool.append("w", "i", &piece("0", u64::MAX, "x")).expect("an offset at the end of all offsets");
        (0..1_000).for_each(|n| spool.append("w", "i", &piece("1", n * 10, "x")).expect("gaps"));
        (0..1_000).for_each(|n| spool.append("w", "i", &piece(&format!("t{n}"), 0, "x")).expect("tasks"));
        assert!(!directory.path().join("escape").exists());
        assert!(spool.tasks("w", "i").len() <= MAX_TASKS);
        assert!(segments(&spool.of_workspace("w").join("i/1")).len() <= MAX_SEGMENTS);
    }

    #[test]
    fn a_closed_log_says_so_only_after_its_last_byte() {
        let (_directory, spool) = spool(4_000);
        spool.append("w", "i", &LogsResponse { closed: true, ..piece("0", 0, "end") }).expect("kept");
        assert!(!spool.read("w", "i", "0", 0).expect("read").closed);
        assert!(spool.read("w", "i", "0", 3).expect("read").closed);
    }

    #[test]
    fn a_new_instance_of_a_workspace_begins_its_logs_anew() {
        let (_directory, spool) = spool(4_000);
        spool.append("w", "i", &piece("0", 0, "old")).expect("kept");
        spool.begin("w", "j").expect("begun");
        assert_eq!(spool.instance("w").as_deref(), Some("j"));
        assert!(spool.tasks("w", "i").is_empty());
    }
}
