//! Speaking with PID 1 of an instance over the socket that the node made. It belongs to the user: every answer has a size
//! that is bounded here, a rate that is bounded by whoever reads, and content that [`crate::instances`] checks.

use std::path::Path;
use std::time::Duration;

use api::v1::instance_service_client::InstanceServiceClient;
use daemon_kit::status::detail_of;
use domain::class::Class;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::error::NodeError;

/// No message of a supervisor is longer.
const MAX_MESSAGE: usize = 4 << 20;

/// A client of one supervisor.
pub type SupervisorClient = InstanceServiceClient<Channel>;

/// Connects to the supervisor behind a socket. Succeeds as soon as the socket listens, before the supervisor is up.
pub async fn connect(socket: &Path) -> Result<SupervisorClient, NodeError> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { open(&socket).map(TokioIo::new) }
    });
    // The name is not looked up: the connector decides where it goes.
    let endpoint = Endpoint::from_static("http://supervisor").connect_timeout(Duration::from_secs(5));
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| silent(anyhow::Error::from(error)))?;
    Ok(InstanceServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}

/// A stream to the socket of a supervisor.
pub fn open(socket: &Path) -> std::io::Result<UnixStream> {
    let descriptor = sys::fd_pass::connect_stream(socket)?;
    UnixStream::from_std(std::os::unix::net::UnixStream::from(descriptor))
}

/// What a supervisor refused, as an error of the node.
pub fn refused(status: &tonic::Status) -> NodeError {
    let detail = detail_of(status);
    let class = Class::parse(&detail.class).unwrap_or(Class::Internal);
    NodeError::Refused {
        class,
        reason: if class == Class::Unavailable { "SupervisorUnavailable" } else { "SupervisorRefused" },
        message: crate::instances::bounds::text(&detail.message),
        hint: Some(crate::instances::bounds::text(&detail.hint)).filter(|hint| !hint.is_empty()),
    }
}

fn silent(source: anyhow::Error) -> NodeError {
    tracing::debug!(error = format!("{source:#}"), "connect to a supervisor");
    NodeError::refused(Class::Unavailable, "SupervisorUnavailable", "the instance's supervisor cannot be reached", "")
}
