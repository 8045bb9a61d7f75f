//! The one place that waits for children: PID 1's duty to orphans, and the exit status of what we started ourselves.
//!
//! A number (pid) means a process only while nobody has waited for it. So starting a known child, waiting for any child
//! and signalling a known group all happen under one lock: a status can neither be missed nor given to the wrong one,
//! and a signal never reaches a process that took the number over.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::process::oom;

/// Children waited for before other work gets its turn: keeps keystrokes flowing while orphans die by the thousand.
const BATCH: usize = 256;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExitStatus {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal, or 0.
    pub signal: i32,
    /// SIGKILL came while the kernel counted an out-of-memory kill in this instance's cgroup. A guess.
    pub oom_killed: bool,
}

impl ExitStatus {
    /// Whether it ended by itself with 0.
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// The end of one process, for any number of waiters.
#[derive(Debug, Clone)]
pub struct Exit(watch::Receiver<Option<ExitStatus>>);

impl Exit {
    /// Waits for the end.
    pub async fn wait(&self) -> ExitStatus {
        match self.0.clone().wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            // The reaper is gone, so PID 1 is ending: nothing lives any more.
            Err(_) => ExitStatus { code: 137, signal: 9, oom_killed: false },
        }
    }

    /// The status, if it has ended.
    pub fn get(&self) -> Option<ExitStatus> {
        *self.0.borrow()
    }
}

struct Child {
    exit: watch::Sender<Option<ExitStatus>>,
    oom_kills_before: u64,
}

/// Knows the children that were started here; everybody else's orphans are only buried.
#[derive(Clone)]
pub struct Reaper {
    children: Arc<Mutex<HashMap<i32, Child>>>,
    /// Counts up with each round in which nothing was left to wait for.
    childless: Arc<watch::Sender<bool>>,
    oom_kills: Arc<dyn Fn(u64) + Send + Sync>,
}

/// What one round of waiting found.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// There may be more dead ones.
    More,
    /// Children live; none is dead.
    AllAlive,
    /// There is no child at all.
    Childless,
}

impl Reaper {
    /// Becomes the one to whom orphans go and starts reaping. `on_oom` is told the kernel's count after an OOM kill.
    /// Needs a running tokio runtime.
    pub fn start(on_oom: impl Fn(u64) + Send + Sync + 'static) -> io::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let mut child_died = signal(SignalKind::child())?;
        let reaper =
            Self { children: Arc::default(), childless: Arc::new(watch::Sender::new(true)), oom_kills: Arc::new(on_oom) };
        let worker = reaper.clone();
        tokio::spawn(async move {
            loop {
                worker.bury().await;
                // Signals merge; `bury` goes on until nobody dead is left, so none is missed.
                child_died.recv().await;
            }
        });
        Ok(reaper)
    }

    /// Starts a child and remembers it. `start` runs under the lock and answers the pid.
    pub fn adopt(&self, start: impl FnOnce() -> io::Result<i32>) -> io::Result<(i32, Exit)> {
        let mut children = self.children.lock();
        let oom_kills_before = oom::kills();
        let pid = start()?;
        let (exit, watch) = watch::channel(None);
        children.insert(pid, Child { exit, oom_kills_before });
        self.childless.send_replace(false);
        Ok((pid, Exit(watch)))
    }

    /// Sends a signal to the process group of a known child; false when its leader has ended already.
    pub fn signal_group(&self, leader: i32, signal: i32) -> bool {
        let children = self.children.lock();
        children.contains_key(&leader) && sys::process::kill(-leader, signal).is_ok()
    }

    /// Leaders of the groups that were started here and live.
    pub fn known(&self) -> Vec<i32> {
        self.children.lock().keys().copied().collect()
    }

    /// Waits until there is no child at all, ours or an orphan.
    pub async fn childless(&self) {
        let _ = self.childless.subscribe().wait_for(|childless| *childless).await;
    }

    /// Looks for the dead now, without waiting for a signal. True when no child is left at all.
    pub async fn sweep(&self) -> bool {
        self.bury().await;
        *self.childless.borrow()
    }

    async fn bury(&self) {
        loop {
            match self.round() {
                Round::More => tokio::task::yield_now().await,
                Round::AllAlive => {
                    self.childless.send_replace(false);
                    return;
                }
                Round::Childless => {
                    self.childless.send_replace(true);
                    return;
                }
            }
        }
    }

    fn round(&self) -> Round {
        let mut children = self.children.lock();
        for _ in 0..BATCH {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(&mut children, pid.as_raw_nonzero().get(), status),
                Ok(None) => return Round::AllAlive,
                Err(Errno::CHILD) => return Round::Childless,
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "waiting for children");
                    return Round::AllAlive;
                }
            }
        }
        Round::More
    }

    fn ended(&self, children: &mut HashMap<i32, Child>, pid: i32, status: WaitStatus) {
        let Some(child) = children.remove(&pid) else { return };
        let signal = status.terminating_signal().unwrap_or(0);
        let code = status.exit_status().unwrap_or(128 + signal);
        let kills = if signal == nix::libc::SIGKILL { oom::kills() } else { 0 };
        let oom_killed = kills > child.oom_kills_before;
        if oom_killed {
            (self.oom_kills)(kills);
        }
        child.exit.send_replace(Some(ExitStatus { code, signal, oom_killed }));
    }
}
