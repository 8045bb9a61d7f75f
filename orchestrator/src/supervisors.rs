//! gRPC over tunnels: one channel per running instance to its supervisor, one per node to the node itself. Channels
//! connect when first used, and again when a tunnel broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::v1::ErrorDetail;
use api::v1::instance_service_client::InstanceServiceClient;
use api::v1::node_local_service_client::NodeLocalServiceClient;
use api::v1::open_tunnel::Target;
use hyper_util::rt::TokioIo;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::error::WorkspaceError;
use crate::tunnels::Tunnels;

/// What a stream may have in flight; a slow viewer holds back so much and no more.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What all streams of one connection may have in flight. Much more than one stream's, so that sixty viewers who do not
/// read cannot hold up the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Messages of the node and of supervisors are bounded on both sides.
const LARGEST_MESSAGE: usize = 8 * 1024 * 1024;

/// Clients of what runs on nodes.
pub struct Supervisors {
    tunnels: Tunnels,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Supervisors {
    /// With nothing connected yet.
    pub fn new(tunnels: Tunnels) -> Arc<Self> {
        Arc::new(Self { tunnels, channels: Mutex::default() })
    }

    /// The tunnels that the clients use.
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// A client of an instance's supervisor.
    pub fn supervisor(&self, node: &str, instance_id: &str) -> InstanceServiceClient<Channel> {
        let channel = self.channel(instance_id, node, Target::Supervisor(instance_id.into()));
        InstanceServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// A client of a node's own service.
    pub fn node(&self, node: &str) -> NodeLocalServiceClient<Channel> {
        let channel = self.channel(&format!("node {node}"), node, Target::Node(true));
        NodeLocalServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Drops what leads to an instance that has ended, or to a node that left.
    pub fn forget(&self, key: &str) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Drops everything that leads to nodes: the process ends, and an idle tunnel would hold it up.
    pub fn forget_all(&self) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn channel(&self, key: &str, node: &str, target: Target) -> Channel {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.entry(key.to_owned()).or_insert_with(|| connect(self.tunnels.clone(), node.to_owned(), target)).clone()
    }
}

fn connect(tunnels: Tunnels, node: String, target: Target) -> Channel {
    let connector = tower::service_fn(move |_: http::Uri| {
        let (tunnels, node, target) = (tunnels.clone(), node.clone(), target.clone());
        async move { tunnels.open(&node, target).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://tunnel.invalid")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector_lazy(connector)
}

/// Makes a status that came out of an instance, or of the way to it, one that our client may get: its detail and
/// nothing else of its metadata, and "unavailable" where the way broke.
pub fn passed_on(status: &Status) -> Status {
    if let Some(error) = find_source(status) {
        return error.to_status();
    }
    let mut detail: ErrorDetail = daemon_kit::status::detail_of(status);
    let has_detail = status.metadata().get_bin(daemon_kit::status::DETAIL_KEY).is_some();
    if !has_detail && std::error::Error::source(status).is_some() {
        detail = ErrorDetail {
            class: "unavailable".into(),
            reason: "ConnectionBroken".into(),
            message: "the connection to the instance broke".into(),
            hint: "see with `crannog show` whether it still runs, and try again".into(),
        };
    }
    daemon_kit::status::from_detail(&detail)
}

/// The error by which a tunnel could not be opened, out of the wrappings of the transport.
fn find_source(status: &Status) -> Option<&WorkspaceError> {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<WorkspaceError>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
