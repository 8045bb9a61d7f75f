//! The start waterfall as it is being made: steps that begin, move bytes, and end well or not. Shared by the work and the
//! actor that reports it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::v1::Step;
use parking_lot::Mutex;

use crate::error::NodeError;
use crate::ports::Progress;
use crate::world::now_us;

/// Progress is told no more often than this.
const INTERVAL: Duration = Duration::from_millis(200);

/// The node's own steps of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Timeline {
    steps: Arc<Mutex<Vec<Step>>>,
    changed: Arc<dyn Fn() + Send + Sync>,
}

impl Timeline {
    /// Goes on from `steps`; `changed` is called, and must not block, when there is something new to show.
    pub fn new(steps: Vec<Step>, changed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { steps: Arc::new(Mutex::new(steps)), changed: Arc::new(changed) }
    }

    /// All steps so far.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().clone()
    }

    /// Runs a step: it begins now and ends when `work` does. What `work` answers is shown by `describe`.
    pub async fn run<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, NodeError>>,
        describe: impl FnOnce(&T, &mut Step),
    ) -> Result<T, NodeError> {
        self.begin(name);
        let result = work.await;
        self.change(name, |step| {
            step.ended_unix_us = now_us();
            match &result {
                Ok(value) => describe(value, step),
                Err(error) => step.error = error.to_string(),
            }
        });
        (self.changed)();
        result
    }

    /// Begins a step, or begins it again.
    pub fn begin(&self, name: &str) {
        let step = Step { name: name.into(), started_unix_us: now_us(), ..Step::default() };
        let mut steps = self.steps.lock();
        steps.retain(|step| step.name != name);
        steps.push(step);
        drop(steps);
        (self.changed)();
    }

    /// Ends a step that is still open.
    pub fn end(&self, name: &str) {
        self.change(name, |step| {
            if step.ended_unix_us == 0 {
                step.ended_unix_us = now_us();
            }
        });
        (self.changed)();
    }

    /// Tells of the bytes of a step as they move.
    pub fn progress(&self, name: &str) -> Progress {
        let (timeline, name) = (self.clone(), name.to_owned());
        let last = Mutex::new(None::<Instant>);
        Arc::new(move |bytes, total, word| {
            timeline.change(&name, |step| {
                step.bytes = bytes;
                step.total_bytes = total;
                if !word.is_empty() {
                    word.clone_into(&mut step.detail);
                }
            });
            let mut last = last.lock();
            if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
                *last = Some(Instant::now());
                (timeline.changed)();
            }
        })
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.lock().iter_mut().find(|step| step.name == name) {
            change(step);
        }
    }
}
