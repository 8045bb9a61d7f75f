//! Who was seen doing something in a workspace: what keeps it from idling out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ports::Clock;

/// What was seen, by workspace id.
#[derive(Clone)]
pub struct Activity {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Seen {
    last: i64,
    present: usize,
}

/// Somebody is in: a command, a terminal or a forwarded port. Dropping it says that they left.
pub struct Presence {
    activity: Activity,
    workspace: String,
}

impl Activity {
    /// By this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { seen: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened just now.
    pub fn touch(&self, workspace: &str) {
        let now = self.clock.now();
        self.lock().entry(workspace.to_owned()).or_default().last = now;
    }

    /// Somebody comes in.
    pub fn enter(&self, workspace: &str) -> Presence {
        let now = self.clock.now();
        let mut seen = self.lock();
        let entry = seen.entry(workspace.to_owned()).or_default();
        entry.present += 1;
        entry.last = now;
        Presence { activity: self.clone(), workspace: workspace.to_owned() }
    }

    /// When something was seen last; now, while somebody is in. 0: never.
    pub fn last(&self, workspace: &str) -> i64 {
        let seen = self.lock();
        match seen.get(workspace) {
            Some(entry) if entry.present > 0 => self.clock.now(),
            Some(entry) => entry.last,
            None => 0,
        }
    }
}

impl Presence {
    /// A keystroke, or bytes.
    pub fn touch(&self) {
        self.activity.touch(&self.workspace);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let now = self.activity.clock.now();
        if let Some(entry) = self.activity.lock().get_mut(&self.workspace) {
            entry.present -= 1;
            entry.last = now;
        }
    }
}
