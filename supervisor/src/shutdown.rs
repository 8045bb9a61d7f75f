//! How an instance ends: everybody is asked, then nobody is left, then PID 1 exits.

use std::sync::Arc;
use std::time::Duration;

use nix::libc::{SIGCONT, SIGHUP, SIGKILL, SIGTERM};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::context::Context;
use crate::process::tree::{Living, descendants, ignores};
use crate::reap::Reaper;

/// When nobody says how long.
const DEFAULT_GRACE: Duration = Duration::from_secs(15);
/// How long after SIGKILL a process may still be busy in the kernel before it is reported as stuck.
const KILL_BOUND: Duration = Duration::from_secs(5);
/// How often SIGKILL is sent again: somebody may have forked in between.
const KILL_AGAIN: Duration = Duration::from_millis(50);
/// How soon, and later how often, to look who is left.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(200);
/// Named in the answer at most.
const NAMED: usize = 64;

/// Ends the instance, once, for any number of askers.
#[derive(Clone)]
pub struct Shutdown {
    context: Context,
    reaper: Reaper,
    killed: Arc<OnceCell<Vec<String>>>,
}

impl Shutdown {
    /// Nothing happens before [`Shutdown::drain`].
    pub fn new(context: Context, reaper: Reaper) -> Self {
        Self { context, reaper, killed: Arc::default() }
    }

    /// Asks everybody to end, kills who is left after `grace` (zero: that of the specification), and answers with the
    /// commands that had to be killed. Whoever asks again gets the answer of the first.
    pub async fn drain(&self, grace: Duration, reason: &str) -> Vec<String> {
        let drain = || async {
            // On its own: an asker that goes away must not stop it half-way.
            let (this, reason) = (self.clone(), reason.to_owned());
            let draining = tokio::spawn(async move { this.end(grace, &reason).await });
            draining.await.unwrap_or_default()
        };
        self.killed.get_or_init(drain).await.clone()
    }

    /// Waits until nothing but PID 1 is left, however long the kernel keeps a process that was killed.
    pub async fn drained(&self) {
        self.context.draining.cancelled().await;
        self.drain(Duration::ZERO, "").await;
        self.reaper.childless().await;
    }

    async fn end(&self, grace: Duration, reason: &str) -> Vec<String> {
        tracing::info!(reason, ?grace, "shutting down");
        self.context.spawner.close();
        self.context.draining.cancel();
        let grace = self.grace(grace);
        self.signal_everybody(SIGTERM);
        // Stopped ones must hear it too.
        self.signal_everybody(SIGCONT);
        let hanging_up = tokio::time::timeout(grace, self.hang_up(grace / 2));
        tokio::select! {
            () = self.reaper.childless() => return Vec::new(),
            _ = hanging_up => {}
        }
        let late = descendants();
        self.kill().await;
        late.into_iter().take(NAMED).map(|process| process.command).collect()
    }

    fn grace(&self, asked: Duration) -> Duration {
        let specified = self.context.config.spec.lifecycle.map_or(0, |lifecycle| lifecycle.stop_grace_ms);
        [asked, Duration::from_millis(specified)].into_iter().find(|grace| !grace.is_zero()).unwrap_or(DEFAULT_GRACE)
    }

    /// Shells of terminals ignore SIGTERM and end by SIGHUP, which they pass on to their jobs. So a shell is hung up when
    /// nothing else is left of its session; and everybody whom we started at half of the grace. Not earlier: SIGHUP would
    /// end programs that are still busy with SIGTERM. Daemons, which read SIGHUP as "reload", never get it. Ends never.
    async fn hang_up(&self, half: Duration) {
        let begun = Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            let living = descendants();
            for leader in self.reaper.known() {
                let alone = living.iter().filter(|process| process.session == leader).count() <= 1;
                if begun.elapsed() >= half || alone && ignores(leader, SIGTERM) {
                    self.reaper.signal_group(leader, SIGHUP);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    async fn kill(&self) {
        let everybody_is_gone = async {
            loop {
                self.signal_everybody(SIGKILL);
                if tokio::time::timeout(KILL_AGAIN, self.reaper.childless()).await.is_ok() {
                    return;
                }
                // A lost SIGCHLD must not keep PID 1 here.
                self.reaper.sweep().await;
            }
        };
        if tokio::time::timeout(KILL_BOUND, everybody_is_gone).await.is_err() {
            tracing::error!(processes = ?descendants(), "StuckProcesses: SIGKILL was sent, they are still there");
        }
    }

    /// As PID 1 in one system call, which no fork can outrun; else (a subreaper) one by one.
    fn signal_everybody(&self, signal: i32) {
        if std::process::id() == 1 {
            let _ = sys::process::kill(-1, signal);
            return;
        }
        for Living { pid, .. } in descendants() {
            if let Ok(pidfd) = sys::pidfd::open(pid) {
                let _ = sys::pidfd::signal(pidfd, signal);
            }
        }
    }
}
