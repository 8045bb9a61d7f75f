//! What ends an instance when nobody does: a start that takes too long, a silent supervisor, a lifetime.

use std::time::Duration;

use api::v1::Condition;
use domain::phase::{Event, Phase};

use super::Actor;
use crate::instances::merge;
use crate::world::now_ms;

impl Actor {
    /// What happens if nothing else does, and in how long.
    pub(super) fn deadline(&self) -> Option<(Duration, Event, Condition)> {
        let (phase, lifecycle) = (self.record.phase, self.record.spec.lifecycle.unwrap_or_default());
        let until =
            |limit_ms: u64| Duration::from_millis((self.record.started_unix_ms + limit_ms as i64 - now_ms()).max(0) as u64);
        let start = match lifecycle.start_deadline_ms {
            0 => self.world.limits.start.as_millis() as u64,
            chosen => chosen,
        };
        let is_starting = matches!(phase, Phase::Preparing | Phase::Starting);
        let is_alive = is_starting || phase == Phase::Running;
        let silent = self.silent_since.filter(|_| phase == Phase::Starting);
        let deadlines = [
            is_starting.then(|| (until(start), Event::StartDeadlinePassed, merge::too_slow(start))),
            (is_alive && lifecycle.max_lifetime_ms > 0)
                .then(|| (until(lifecycle.max_lifetime_ms), Event::LifetimeExpired, merge::too_old(lifecycle.max_lifetime_ms))),
            silent
                .map(|since| (self.world.limits.supervisor.saturating_sub(since.elapsed()), Event::StartFailed, merge::silent())),
        ];
        deadlines.into_iter().flatten().min_by_key(|(wait, ..)| *wait)
    }
}
