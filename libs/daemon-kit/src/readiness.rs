//! A daemon is ready when nothing holds it back any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who still holds a daemon back.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, usize>>>);

/// Held by a part that is not ready; dropping it says that it is.
pub struct Hold {
    readiness: Readiness,
    name: String,
}

impl Readiness {
    /// Holds the daemon back under the name of a part.
    #[must_use = "dropping it says that the part is ready"]
    pub fn hold(&self, name: &str) -> Hold {
        *self.lock().entry(name.to_owned()).or_default() += 1;
        Hold { readiness: self.clone(), name: name.to_owned() }
    }

    /// The names of those that are not ready.
    pub fn held(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.readiness.lock();
        if let Some(count) = held.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_the_last_hold_is_dropped() {
        let readiness = Readiness::default();
        let (first, second, store) = (readiness.hold("node"), readiness.hold("node"), readiness.hold("store"));
        drop(first);
        assert_eq!(readiness.held(), ["node", "store"]);
        drop((second, store));
        assert!(readiness.held().is_empty());
    }
}
