//! Who looks at a terminal, and how long its program waits for them.
//!
//! There is no queue per viewer: each has a place in the terminal's ring and takes from there at its own speed. One that
//! falls behind by more than the ring is told how many bytes it missed and goes on at the next line. The program is paced
//! to the *fastest* viewer, so that somebody who keeps up sees every byte, but never for long: a viewer that is waited
//! for in vain is not waited for again until it has kept up for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::terminal::{Progress, Terminal};
use crate::process::ExitStatus;

/// The longest that a program is held up for the sake of viewers, once per [`PROBATION`].
pub const PATIENCE: Duration = Duration::from_millis(150);
/// How long a viewer that was waited for in vain does not count.
const PROBATION: Duration = Duration::from_secs(2);
/// Behind by more: the program waits. Half of the smallest ring.
const HIGH: u64 = 128 << 10;
/// Until it is behind by no more than this.
const LOW: u64 = 64 << 10;

/// The viewers of one terminal.
#[derive(Default)]
pub struct Viewers {
    places: Mutex<Vec<Arc<Place>>>,
    moved: Notify,
}

struct Place {
    at: AtomicU64,
    not_before: Mutex<Option<Instant>>,
}

impl Place {
    /// How far it is behind, if it is one that the program waits for.
    fn lag(&self, end: u64) -> Option<u64> {
        let lag = end.saturating_sub(self.at.load(Ordering::Relaxed));
        let mut not_before = self.not_before.lock();
        match *not_before {
            Some(until) if Instant::now() < until || lag > HIGH => None,
            _ => {
                *not_before = None;
                Some(lag)
            }
        }
    }
}

impl Viewers {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.places.lock().len() as u32
    }

    /// Waits, within [`PATIENCE`], for the fastest viewer to come near the end of the output.
    pub(super) async fn patience(&self, progress: &watch::Sender<Progress>) {
        let end = progress.borrow().end;
        if self.nearest(end).is_none_or(|lag| lag <= HIGH) {
            return;
        }
        let near = async {
            loop {
                let moved = self.moved.notified();
                if self.nearest(end).is_none_or(|lag| lag <= LOW) {
                    return;
                }
                moved.await;
            }
        };
        if tokio::time::timeout(PATIENCE, near).await.is_err() {
            self.distrust();
        }
    }

    fn nearest(&self, end: u64) -> Option<u64> {
        self.places.lock().iter().filter_map(|place| place.lag(end)).min()
    }

    fn distrust(&self) {
        let until = Instant::now() + PROBATION;
        for place in self.places.lock().iter() {
            *place.not_before.lock() = Some(until);
        }
    }
}

/// What a viewer is given next.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// Bytes that it was too slow for.
    Skipped(u64),
    /// Output.
    Output(Bytes),
    /// The program has ended and everything was shown. Nothing comes after it.
    Exit(ExitStatus),
}

/// One who looks. Dropping it changes nothing for the terminal.
pub struct Viewer {
    terminal: Arc<Terminal>,
    place: Arc<Place>,
    progress: watch::Receiver<Progress>,
    held: Option<Bytes>,
    done: bool,
}

impl Viewer {
    pub(super) fn join(terminal: Arc<Terminal>, from: u64) -> Self {
        let place = Arc::new(Place { at: AtomicU64::new(from), not_before: Mutex::new(None) });
        terminal.viewers.places.lock().push(place.clone());
        let progress = terminal.progress.subscribe();
        Self { terminal, place, progress, held: None, done: false }
    }

    /// The terminal that is looked at.
    pub fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// What comes next; waits for it. `None` after the exit.
    pub async fn next(&mut self) -> Option<Seen> {
        if let Some(data) = self.held.take() {
            return Some(Seen::Output(data));
        }
        while !self.done {
            let progress = *self.progress.borrow_and_update();
            if let Some(seen) = self.take() {
                return Some(seen);
            }
            if progress.closed {
                self.done = true;
                return Some(Seen::Exit(self.terminal.exit.get().unwrap_or_default()));
            }
            self.progress.changed().await.ok()?;
        }
        None
    }

    fn take(&mut self) -> Option<Seen> {
        let piece = self.terminal.read(self.place.at.load(Ordering::Relaxed));
        self.place.at.store(piece.next(), Ordering::Relaxed);
        self.terminal.viewers.moved.notify_one();
        match (piece.skipped, piece.data.is_empty()) {
            (0, true) => None,
            (0, false) => Some(Seen::Output(piece.data)),
            (skipped, _) => {
                self.held = Some(piece.data).filter(|data| !data.is_empty());
                Some(Seen::Skipped(skipped))
            }
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.terminal.viewers.places.lock().retain(|place| !Arc::ptr_eq(place, &self.place));
        self.terminal.viewers.moved.notify_one();
        self.terminal.changed();
    }
}
