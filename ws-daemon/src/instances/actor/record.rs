//! What an actor writes down before it acts, and what it tells: the record in the store, and the numbered reports.

use std::sync::Arc;

use super::{Actor, SEQUENCES};
use crate::backoff::Backoff;
use crate::error::NodeError;
use crate::instances::merge;

impl Actor {
    pub(super) async fn persist(&mut self) {
        let (store, record) = (self.world.store.clone(), self.record.clone());
        self.insist("store the instance", move || store.put_instance(&record)).await;
    }

    /// Writes until it is written: nothing may be done that is not stored, and nothing is lost by waiting.
    pub(super) async fn insist(&self, doing: &str, write: impl Fn() -> Result<(), NodeError> + Send + Sync + 'static) {
        let write = Arc::new(write);
        let mut backoff = Backoff::new(self.world.limits.retry, self.world.limits.retry * 64);
        loop {
            let once = write.clone();
            match crate::content_layer::blocking(doing, move || once()).await {
                Ok(()) => return,
                Err(error) => tracing::error!(id = self.record.spec.id, error = daemon_kit::status::chain(&error), "{doing}"),
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// Tells what is known, with a number that was never used before.
    pub(super) async fn publish(&mut self) {
        merge::timeline(&mut self.record.status, &self.timeline.steps());
        self.record.status.sequence += 1;
        if self.record.status.sequence >= self.record.sequence_ceiling {
            self.record.sequence_ceiling = self.record.status.sequence + SEQUENCES;
            self.persist().await;
        }
        self.world.reports.publish(self.record.status.clone());
    }

    /// Content that is ready is written down before anybody hears of it: it is never brought in twice.
    pub(super) async fn remember_content(&mut self, state: &api::v1::SupervisorState) {
        let Some(content) = &state.content else { return };
        let before = self.record.status.content.as_ref();
        let is_known = before.is_some_and(|known| known.ready == content.ready && known.init_done == content.init_done);
        if !content.ready || is_known {
            return;
        }
        let (store, id, init_done) = (self.world.store.clone(), self.record.spec.workspace_id.clone(), content.init_done);
        self.insist("remember the content", move || {
            store.update_workspace(&id, |record| {
                record.content_ready = true;
                record.init_done |= init_done;
            })
        })
        .await;
    }
}
