//! A clock that stands still until the test moves it.

use std::time::Duration;

use futures::future::BoxFuture;
use orchestrator::ports::Clock;
use tokio::sync::watch;

pub struct TestClock(watch::Sender<i64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(watch::channel(1_800_000_000_000).0)
    }
}

impl TestClock {
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|now| *now += duration.as_millis() as i64);
    }
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        *self.0.borrow()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut now = self.0.subscribe();
        let until = *now.borrow() + duration.as_millis() as i64;
        Box::pin(async move {
            let _ = now.wait_for(|now| *now >= until).await;
        })
    }
}
