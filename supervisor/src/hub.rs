//! The one place that holds what the supervisor knows (`api::v1::SupervisorState`), for everybody who watches.

use std::sync::Arc;

use api::v1::SupervisorState;
use tokio::sync::watch;

/// The state, shared. Changes are merged for a watcher that is slower than they come; the last one always arrives.
#[derive(Clone, Debug)]
pub struct Hub(Arc<watch::Sender<SupervisorState>>);

impl Default for Hub {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(SupervisorState::default())))
    }
}

impl Hub {
    /// Changes the state. Watchers wake up only when something is different afterwards.
    pub fn update(&self, change: impl FnOnce(&mut SupervisorState)) {
        self.0.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// A copy of the state now.
    pub fn get(&self) -> SupervisorState {
        self.0.borrow().clone()
    }

    /// Reads a part of the state without copying all of it. `read` must not call the hub.
    pub fn with<T>(&self, read: impl FnOnce(&SupervisorState) -> T) -> T {
        read(&self.0.borrow())
    }

    /// For `changed().await`: sees the present state as not seen yet.
    pub fn watch(&self) -> watch::Receiver<SupervisorState> {
        let mut receiver = self.0.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Waits until `ready` holds of the state.
    pub async fn wait_for(&self, ready: impl FnMut(&SupervisorState) -> bool) {
        // The sender lives in `self`, so this cannot end early.
        let _ = self.0.subscribe().wait_for(ready).await;
    }

    /// Sets (or replaces) the condition of this type.
    pub fn condition(&self, condition: api::v1::Condition) {
        self.update(|state| {
            state.conditions.retain(|known| known.r#type != condition.r#type);
            state.conditions.push(condition);
        });
    }

    /// Notes that a person did something: a keystroke, a command.
    pub fn active(&self) {
        let now = crate::clock::unix_ms();
        // A second's grain: a watcher need not wake up for each key.
        self.update(|state| {
            if now - state.last_activity_unix_ms >= 1000 {
                state.last_activity_unix_ms = now;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_changes_nothing_wakes_nobody() {
        let hub = Hub::default();
        let mut watch = hub.watch();
        watch.changed().await.expect("first");
        watch.mark_unchanged();
        hub.update(|state| state.oom_kills = 0);
        assert!(!watch.has_changed().expect("open"));
        hub.update(|state| state.oom_kills = 1);
        assert!(watch.has_changed().expect("open"));
    }

    #[test]
    fn a_condition_replaces_the_one_of_its_type() {
        let hub = Hub::default();
        for reason in ["First", "Second"] {
            hub.condition(api::v1::Condition { r#type: "Ready".into(), reason: reason.into(), ..Default::default() });
        }
        assert_eq!(hub.get().conditions.len(), 1);
        assert_eq!(hub.get().conditions[0].reason, "Second");
    }
}
