//! The dial socket: an edge on this machine asks for a port of an instance and is handed a connected socket, made inside
//! the instance's network namespace. After that no byte passes through this daemon.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::dial::{DialAnswer, DialError, DialRequest, MAX_PACKET};
use domain::class::{Class, Classify};
use sys::fd_pass::{SeqPacket, SeqPacketListener};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

use crate::descriptors::watched;
use crate::error::NodeError;
use crate::instances::Instances;

/// Edges, and their connections, at one time.
const MAX_CONNECTIONS: usize = 256;
/// What a connect to a loopback port may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A bound dial socket.
pub struct DialServer {
    listener: AsyncFd<SeqPacketListener>,
}

impl DialServer {
    /// Binds at `path`, in a directory that only root may enter. One that a daemon before this one left is replaced.
    pub fn bind(path: &Path) -> Result<Self, NodeError> {
        let doing = || format!("listen at {}", path.display());
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(NodeError::io(doing())(error)),
            _ => {}
        }
        let listener = SeqPacketListener::bind(path).map_err(NodeError::io(doing()))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(NodeError::io(doing()))?;
        let listener = watched(listener, Interest::READABLE).map_err(NodeError::io(doing()))?;
        Ok(Self { listener })
    }

    /// Answers until the daemon ends.
    pub async fn serve(self, instances: Instances) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.listener.async_io(Interest::READABLE, |listener| listener.accept()).await {
                Ok(connection) => {
                    let instances = instances.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(connection, &instances).await {
                            tracing::debug!(%error, "a connection to the dial socket ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: others may close some.
                    tracing::warn!(%error, "accept at the dial socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn converse(connection: SeqPacket, instances: &Instances) -> std::io::Result<()> {
    let peer = connection.peer()?;
    if peer.uid != 0 && peer.uid != nix::unistd::geteuid().as_raw() {
        tracing::warn!(uid = peer.uid, pid = peer.pid, "someone else at the dial socket");
        return Ok(());
    }
    let connection = watched(connection, Interest::READABLE | Interest::WRITABLE)?;
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let packet = connection.async_io(Interest::READABLE, |socket| socket.receive(&mut buffer)).await?;
        if packet.length == 0 {
            return Ok(());
        }
        let (answer, socket) = match answer(&buffer[..packet.length], instances).await {
            Ok(socket) => (DialAnswer::Ok(true), Some(socket)),
            Err(error) => (DialAnswer::Error(in_words(&error)), None),
        };
        let bytes = serde_json::to_vec(&answer)?;
        let descriptors: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
        connection.async_io(Interest::WRITABLE, |socket| socket.send(&bytes, &descriptors)).await?;
    }
}

async fn answer(question: &[u8], instances: &Instances) -> Result<OwnedFd, NodeError> {
    let request: DialRequest = serde_json::from_slice(question).map_err(|error| {
        NodeError::refused(Class::InvalidArgument, "QuestionMalformed", format!("not a question for a port: {error}"), "")
    })?;
    dial(instances, &request.instance, request.port.into()).await
}

/// A socket that is connected to a port of an instance.
pub async fn dial(instances: &Instances, id: &str, port: u32) -> Result<OwnedFd, NodeError> {
    instances.require_container(id)?;
    let number = u16::try_from(port).ok().filter(|port| *port > 0);
    let number =
        number.ok_or_else(|| NodeError::refused(Class::InvalidArgument, "PortMalformed", format!("{port} is not a port"), ""))?;
    let connected = tokio::time::timeout(LIMIT, instances.world().networks.dial(id, number)).await;
    connected
        .unwrap_or_else(|_| {
            Err(NodeError::refused(
                Class::DeadlineExceeded,
                "ConnectTimeout",
                format!("port {port} does not take connections"),
                "",
            ))
        })
        .map_err(|error| match error {
            NodeError::Io { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => NodeError::refused(
                Class::Unavailable,
                "ConnectionRefused",
                format!("nothing listens on port {port}"),
                "start the server in the workspace",
            ),
            other => other,
        })
}

fn in_words(error: &NodeError) -> DialError {
    if error.class() == Class::Internal {
        tracing::error!(error = daemon_kit::status::chain(error), "dial a port");
    }
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAX_PACKET / 8));
    DialError { class: error.class(), reason: error.reason().into(), message }
}
