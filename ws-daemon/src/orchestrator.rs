//! The way to the orchestrator: two connections, so that bulk (tunnels, sources) never holds up the node stream.

use std::time::Duration;

use api::v1::node_service_client::NodeServiceClient;
use daemon_kit::bearer::Bearer;
use daemon_kit::secret::Token;
use domain::class::Class;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::NodeError;

/// A client of the orchestrator.
pub type OrchestratorClient = NodeServiceClient<InterceptedService<Channel, Admission>>;

/// What one stream may have on its way before its reader has to catch up.
const STREAM_WINDOW: u32 = 1 << 20;
/// All streams of a connection together: so much that one slow tunnel cannot stop the others.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Connections to one orchestrator. Cheap to clone.
#[derive(Clone)]
pub struct Orchestrator {
    control: Channel,
    bulk: Channel,
    admission: Admission,
}

/// Says which node calls, and proves it.
#[derive(Clone)]
pub struct Admission {
    bearer: Option<Bearer>,
    node: AsciiMetadataValue,
}

impl Interceptor for Admission {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("crannog-node", self.node.clone());
        match &mut self.bearer {
            Some(bearer) => bearer.call(request),
            None => Ok(request),
        }
    }
}

impl Orchestrator {
    /// Nothing is dialled before the first call.
    pub fn new(address: &str, node_id: &str, token: &str) -> Result<Self, NodeError> {
        let malformed = |what: &str| {
            let text = format!("{what} cannot be used to reach the orchestrator");
            NodeError::refused(Class::InvalidArgument, "OrchestratorAddress", text, "write it like \"http://127.0.0.1:7270\"")
        };
        let endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|_| malformed(address))?
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let bearer = match token {
            "" => None,
            token => Some(Bearer::new(&Token::new(token.to_owned())).ok_or_else(|| malformed("this node's token"))?),
        };
        let node = node_id.parse().map_err(|_| malformed("this node's id"))?;
        Ok(Self { control: endpoint.connect_lazy(), bulk: endpoint.connect_lazy(), admission: Admission { bearer, node } })
    }

    /// For the node stream.
    pub fn control(&self) -> OrchestratorClient {
        NodeServiceClient::with_interceptor(self.control.clone(), self.admission.clone()).max_decoding_message_size(16 << 20)
    }

    /// For tunnels and sources.
    pub fn bulk(&self) -> OrchestratorClient {
        NodeServiceClient::with_interceptor(self.bulk.clone(), self.admission.clone()).max_decoding_message_size(4 << 20)
    }
}

/// What the orchestrator refused, as an error of the node.
pub fn refused(doing: &str, status: &Status) -> NodeError {
    let detail = daemon_kit::status::detail_of(status);
    let class = Class::parse(&detail.class).unwrap_or(Class::Internal);
    NodeError::refused(class, "OrchestratorRefused", format!("{doing}: {}", detail.message), detail.hint)
}
