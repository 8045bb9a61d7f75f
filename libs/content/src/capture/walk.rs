//! The walk: directories from a shared stack, read by several threads; then the trees, the deepest first.

mod dir;
mod finish;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::stamps::Stamp;
use super::{Notes, Plan};
use crate::error::ContentError;
use crate::repository::{Repository, Writer};
use crate::tree::{Entry, File, Meta, Tree};

pub(super) use finish::encode;

/// A directory to be read.
struct Job {
    node: usize,
    depth: usize,
    path: Vec<u8>,
    before: Option<Tree>,
}

/// A directory that was read. Those below it have higher numbers.
#[derive(Default)]
struct Dir {
    path: Vec<u8>,
    entries: Vec<Entry>,
    /// Which entry is which directory.
    children: HashMap<Vec<u8>, usize>,
    stamps: Vec<(Vec<u8>, Stamp)>,
}

/// A file of several names.
#[derive(Default)]
struct Linked {
    file: Option<File>,
    paths: Vec<Vec<u8>>,
}

/// Device and inode number.
type Identity = (u64, u64);

/// What the threads share.
struct State {
    jobs: Vec<Job>,
    running: usize,
    failed: Option<ContentError>,
    dirs: Vec<Dir>,
    links: HashMap<Identity, Linked>,
    notes: Notes,
    read: (u64, u64),
}

/// All that was found; no tree is encoded yet.
pub(super) struct Walked {
    dirs: Vec<Dir>,
    links: HashMap<Identity, Linked>,
    root: Meta,
    notes: Notes,
    read: (u64, u64),
    started: SystemTime,
}

struct Walk<'w> {
    repository: &'w Repository,
    plan: &'w Plan<'w>,
    writer: &'w Writer<'w>,
    root: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

/// Walks the directory of the plan and stores its chunks.
pub(super) fn walk<'w>(repository: &'w Repository, plan: &'w Plan<'w>, writer: &'w Writer<'w>) -> Result<Walked, ContentError> {
    let failed = |action| ContentError::file::<std::io::Error>(action, &plan.root);
    let started = SystemTime::now();
    let root = sys::beneath::open_own_dir(&plan.root).map_err(failed("open the directory"))?;
    let stat = rustix::fs::fstat(&root).map_err(ContentError::file("look at", &plan.root))?;
    let before = plan.before.as_ref().map(|before| repository.reader().tree(before.root)).transpose()?;
    let job = Job { node: 0, depth: 0, path: Vec::new(), before };
    let state = State {
        jobs: vec![job],
        running: 0,
        failed: None,
        dirs: vec![Dir::default()],
        links: HashMap::new(),
        notes: Notes::default(),
        read: (0, 0),
    };
    let (state, changed) = (Mutex::new(state), Condvar::new());
    let walk = Walk { repository, plan, writer, root, state, changed };
    let root = walk.root_meta(&stat)?;
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| walk.work());
        }
    });
    let State { failed, dirs, links, notes, read, .. } = walk.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(Walked { dirs, links, root, notes, read, started }), Err)
}

impl Walk<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thread: takes directories until there are none left and nobody can find more.
    fn work(&self) {
        let done = dir::Worker::new(self).and_then(|mut worker| {
            while let Some(job) = self.next() {
                let read = worker.read_dir(job);
                self.state().running -= 1;
                self.changed.notify_all();
                read?;
            }
            worker.finish()
        });
        if let Err(error) = done {
            self.state().failed.get_or_insert(error);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(job) = state.jobs.pop() {
                state.running += 1;
                return Some(job);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
