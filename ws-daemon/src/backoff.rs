//! How long to wait before trying again: longer each time, and never all at once.

use std::time::Duration;

/// Exponential, with full jitter above half.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    current: Duration,
}

impl Backoff {
    /// From `first` doubling up to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, current: first }
    }

    /// The next wait: between half of the current step and all of it.
    pub fn wait(&mut self) -> Duration {
        let now = self.current.mul_f64(rand::random_range(0.5..=1.0));
        self.current = (self.current * 2).min(self.last);
        now
    }

    /// It worked: begin from the first step again.
    pub fn reset(&mut self) {
        self.current = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_last_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<_> = (0..8).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= Duration::from_millis(100) && waits[7] >= Duration::from_millis(500));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(100));
    }
}
