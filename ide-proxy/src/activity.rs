//! Tells the orchestrator, once a second, which workspaces were used: requests, bytes of streams, WebSocket traffic.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::ports::SharedAuthority;
use crate::routes::Routes;

const EVERY: Duration = Duration::from_secs(1);

/// Reports for ever. What cannot be told is dropped: the next use tells it again.
pub async fn report(routes: Arc<Routes>, authority: SharedAuthority) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let used = routes.take_used();
        if used.is_empty() {
            continue;
        }
        if let Err(error) = authority.report_activity(used).await {
            tracing::debug!(%error, "activity was not reported");
        }
    }
}
