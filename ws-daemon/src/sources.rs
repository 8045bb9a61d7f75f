//! Uploaded bundles: fetched from the orchestrator, verified by their SHA-256, kept until the content that comes from them
//! is ready. A fetch that breaks goes on where it was.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::v1::FetchSourceRequest;
use domain::class::Class;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::backoff::Backoff;
use crate::content_layer::blocking;
use crate::error::NodeError;
use crate::layout::Layout;
use crate::orchestrator::{self, Orchestrator};
use crate::ports::{Progress, Sources};

/// How often a fetch goes on after it broke.
const ATTEMPTS: usize = 5;

/// Sources that the orchestrator has.
pub struct RemoteSources {
    layout: Layout,
    orchestrator: Orchestrator,
    /// One fetch of a digest at a time: the others find the file.
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl RemoteSources {
    /// Sources kept below `layout` while they are needed.
    pub fn new(layout: Layout, orchestrator: Orchestrator) -> Self {
        Self { layout, orchestrator, flights: Mutex::default() }
    }

    fn path(&self, digest: &str) -> Result<PathBuf, NodeError> {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let is_good = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_good.then(|| self.layout.sources().join(hex)).ok_or_else(|| {
            NodeError::refused(
                Class::InvalidArgument,
                "DigestMalformed",
                "the source's digest is not a SHA-256",
                "upload it again",
            )
        })
    }

    fn flight(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock();
        flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        flights.entry(digest.to_owned()).or_default().clone()
    }

    async fn download(&self, digest: &str, part: &Path, progress: &Progress) -> Result<(), NodeError> {
        let doing = || format!("write {}", part.display());
        let mut file =
            tokio::fs::OpenOptions::new().create(true).append(true).open(part).await.map_err(NodeError::io(doing()))?;
        let mut offset = file.metadata().await.map_err(NodeError::io(doing()))?.len();
        let request = FetchSourceRequest { digest: digest.into(), offset };
        let fetched = self.orchestrator.bulk().fetch_source(request).await;
        let mut pieces = fetched.map_err(|status| orchestrator::refused("fetch the uploaded source", &status))?.into_inner();
        while let Some(piece) =
            pieces.message().await.map_err(|status| orchestrator::refused("fetch the uploaded source", &status))?
        {
            file.write_all(&piece.data).await.map_err(NodeError::io(doing()))?;
            offset += piece.data.len() as u64;
            progress(offset, piece.size, "");
        }
        file.sync_all().await.map_err(NodeError::io(doing()))
    }

    async fn fetch_all(&self, digest: &str, part: &Path, progress: &Progress) -> Result<(), NodeError> {
        let mut backoff = Backoff::new(std::time::Duration::from_millis(200), std::time::Duration::from_secs(5));
        for _ in 1..ATTEMPTS {
            match self.download(digest, part, progress).await {
                Err(NodeError::Refused { class: Class::Unavailable, message, .. }) => {
                    tracing::info!(digest, message, "the fetch of a source broke; it goes on");
                    tokio::time::sleep(backoff.wait()).await;
                }
                result => return result,
            }
        }
        self.download(digest, part, progress).await
    }
}

#[tonic::async_trait]
impl Sources for RemoteSources {
    async fn fetch(&self, digest: &str, at: &Path, progress: Progress) -> Result<(), NodeError> {
        let path = self.path(digest)?;
        let flight = self.flight(digest);
        let _only = flight.lock().await;
        if !path.is_file() {
            let part = path.with_extension("part");
            self.fetch_all(digest, &part, &progress).await?;
            let done = path.clone();
            blocking("verify an uploaded source", move || verify(&part, &done)).await?;
        }
        let at = at.to_owned();
        blocking("show an uploaded source", move || link(&path, &at)).await
    }

    async fn drop_source(&self, digest: &str) -> Result<(), NodeError> {
        let path = self.path(digest)?;
        let flight = self.flight(digest);
        let _only = flight.lock().await;
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(NodeError::io(format!("drop {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

/// A second name for the file: who uses it keeps it when the first name goes.
fn link(path: &Path, at: &Path) -> Result<(), NodeError> {
    let doing = || format!("link {} to {}", path.display(), at.display());
    match std::fs::remove_file(at) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(NodeError::io(doing())(error)),
        _ => std::fs::hard_link(path, at).map_err(NodeError::io(doing())),
    }
}

/// Gives the file its name when its bytes are what the name says; throws it away when they are not.
fn verify(part: &Path, path: &Path) -> Result<(), NodeError> {
    let doing = || format!("verify {}", part.display());
    let mut file = std::fs::File::open(part).map_err(NodeError::io(doing()))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(NodeError::io(doing()))?;
    let found = hex::encode(hasher.finalize());
    if path.file_name().is_some_and(|name| name == found.as_str()) {
        std::fs::set_permissions(part, std::fs::Permissions::from_mode(0o444)).map_err(NodeError::io(doing()))?;
        return std::fs::rename(part, path).map_err(NodeError::io(doing()));
    }
    std::fs::remove_file(part).map_err(NodeError::io(doing()))?;
    Err(NodeError::refused(
        Class::DataLoss,
        "SourceDigestWrong",
        "the uploaded source arrived damaged: its SHA-256 is not the one that was announced",
        "start again; if it happens twice, the server's disk is to be checked",
    ))
}
