//! Output of tasks, kept on the node: readable after the instance has stopped, bounded, addressed by offset. Collected from
//! the supervisor, which keeps it too: what a restart of this daemon misses is asked for again from where the file ends.

mod spool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::v1::LogsRequest;

use crate::backoff::Backoff;
use crate::content_layer::blocking;
use crate::error::NodeError;
use crate::supervisor;
pub use spool::{LogSpool, Piece};

/// Reads the logs of an instance until its container has ended.
pub async fn collect(spool: Arc<LogSpool>, socket: PathBuf, workspace: String, instance: String) {
    let begun = spool.clone();
    let (of, id) = (workspace.clone(), instance.clone());
    if let Err(error) = blocking("begin to keep logs", move || begun.begin(&of, &id)).await {
        return tracing::error!(%error, instance, "logs are not kept");
    }
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    // Nobody listens any more when PID 1, which holds the socket, has ended.
    while supervisor::open(&socket)
        .map_err(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        .map_or_else(|busy| busy, |_| true)
    {
        match follow(&spool, &socket, &workspace, &instance).await {
            Ok(()) => backoff.reset(),
            Err(error) => tracing::debug!(%error, instance, "follow the logs"),
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

async fn follow(spool: &Arc<LogSpool>, socket: &Path, workspace: &str, instance: &str) -> Result<(), NodeError> {
    let offsets = {
        let (spool, workspace, instance) = (spool.clone(), workspace.to_owned(), instance.to_owned());
        blocking("find the ends of logs", move || Ok(spool.ends(&workspace, &instance))).await?
    };
    let mut client = supervisor::connect(socket).await?;
    let request = LogsRequest { follow: true, offsets, ..LogsRequest::default() };
    let mut pieces = client.logs(request).await.map_err(|status| supervisor::refused(&status))?.into_inner();
    while let Some(piece) = pieces.message().await.map_err(|status| supervisor::refused(&status))? {
        let (spool, workspace, instance) = (spool.clone(), workspace.to_owned(), instance.to_owned());
        blocking("keep a piece of log", move || spool.append(&workspace, &instance, &piece)).await?;
    }
    Ok(())
}
