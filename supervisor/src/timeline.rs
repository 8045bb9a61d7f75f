//! The rows of the start waterfall that happen inside the instance.

use api::v1::Step;

use crate::clock::unix_us;
use crate::hub::Hub;

/// Writes steps into the hub.
#[derive(Clone, Debug)]
pub struct Timeline {
    hub: Hub,
}

impl Timeline {
    /// A timeline that writes into `hub`.
    pub fn new(hub: Hub) -> Self {
        Self { hub }
    }

    /// Begins a step ("clone", "task/0/init"); it ends when the guard is dropped.
    pub fn step(&self, name: &str) -> StepGuard {
        let started_unix_us = unix_us();
        self.hub.update(|state| {
            state.timeline.push(Step { name: name.to_owned(), started_unix_us, ..Default::default() });
        });
        StepGuard { hub: self.hub.clone(), name: name.to_owned(), started_unix_us }
    }
}

/// A step that is running.
#[derive(Debug)]
#[must_use = "the step ends when this is dropped"]
pub struct StepGuard {
    hub: Hub,
    name: String,
    started_unix_us: i64,
}

impl StepGuard {
    /// How much was moved so far; `total` is 0 where it is not known.
    pub fn bytes(&self, bytes: u64, total: u64) {
        self.change(|step| (step.bytes, step.total_bytes) = (bytes, total));
    }

    /// A word for people: "3 of 7 objects".
    pub fn detail(&self, detail: impl Into<String>) {
        let detail = detail.into();
        self.change(|step| step.detail = detail);
    }

    /// Nothing had to be done.
    pub fn hit(&self) {
        self.change(|step| step.hit = true);
    }

    /// Ends the step as a failed one. Credentials must have been removed from `error`.
    pub fn fail(self, error: impl Into<String>) {
        let error = error.into();
        self.change(|step| step.error = error);
    }

    fn change(&self, change: impl FnOnce(&mut Step)) {
        self.hub.update(|state| {
            let mine = |step: &&mut Step| step.name == self.name && step.started_unix_us == self.started_unix_us;
            if let Some(step) = state.timeline.iter_mut().rev().find(mine) {
                change(step);
            }
        });
    }
}

impl Drop for StepGuard {
    fn drop(&mut self) {
        self.change(|step| step.ended_unix_us = unix_us().max(step.started_unix_us + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_when_its_guard_goes() {
        let hub = Hub::default();
        let step = Timeline::new(hub.clone()).step("clone");
        step.bytes(5, 10);
        assert_eq!(hub.get().timeline[0].ended_unix_us, 0);
        step.fail("no such branch");
        let row = &hub.get().timeline[0];
        assert!(row.ended_unix_us > row.started_unix_us);
        assert_eq!((row.bytes, row.total_bytes, row.error.as_str()), (5, 10, "no such branch"));
    }
}
