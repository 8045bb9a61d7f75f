//! `NodeService`: nodes dial in, say what they have, are told what to do, and answer requests for tunnels.

use std::pin::Pin;

use api::v1::node_message::Message as Up;
use api::v1::node_service_server::NodeService;
use api::v1::orchestrator_message::Message as Down;
use api::v1::{FetchSourceRequest, FetchSourceResponse, NodeHello, NodeMessage, OrchestratorMessage, TunnelFrame, Welcome};
use daemon_kit::secret::TokenHash;
use futures::{Stream, StreamExt as _, stream};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::error::WorkspaceError;
use crate::nodes::{LinkId, SharedNodes};
use crate::sources::Sources;
use crate::store::{KnownNode, NewEvent};
use crate::tunnels::{Answer as TunnelAnswer, Tunnels};
use crate::workspaces::SharedWorkspaces;

type Feed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The version of the protocol that this code speaks.
const PROTOCOL: u32 = 1;

/// The handlers' parts.
#[derive(Clone)]
pub struct Nodes {
    /// Who is connected.
    pub nodes: SharedNodes,
    /// Takes reports.
    pub workspaces: SharedWorkspaces,
    /// Waits for nodes that dial back.
    pub tunnels: Tunnels,
    /// Uploaded bundles.
    pub sources: Sources,
    /// The token of nodes, for the hello.
    pub token: TokenHash,
}

#[tonic::async_trait]
impl NodeService for Nodes {
    type StreamStream = Feed<OrchestratorMessage>;
    async fn stream(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Feed<OrchestratorMessage>>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or(WorkspaceError::Protocol("the stream ended before its hello"))?;
        let (ack, hello) = match first.message {
            Some(Up::Hello(hello)) => (first.ack, hello),
            _ => return Err(WorkspaceError::Protocol("the first message is not a hello").into()),
        };
        self.admit(&hello)?;
        let joined = self.nodes.join(&hello, ack, self.workspaces.clock().now());
        let config = self.workspaces.settings().config();
        let welcome = Welcome {
            lease_ms: config.node_lease.as_millis(),
            heartbeat_ms: config.node_heartbeat.as_millis(),
            resumed: joined.resumed,
            protocol: PROTOCOL,
        };
        let welcome = OrchestratorMessage { sequence: 0, ack: joined.handled, message: Some(Down::Welcome(welcome)) };
        let node = Connected { service: self.clone(), link: joined.link, hello };
        tokio::spawn(node.listen(messages));
        let down = stream::once(futures::future::ready(welcome)).chain(UnboundedReceiverStream::new(joined.messages));
        Ok(Response::new(Box::pin(down.map(Ok))))
    }

    type TunnelStream = Feed<TunnelFrame>;
    async fn tunnel(&self, request: Request<Streaming<TunnelFrame>>) -> Result<Response<Feed<TunnelFrame>>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.ok_or(WorkspaceError::Protocol("the tunnel ended before its id"))?;
        // One frame in flight: who writes into the tunnel waits for the node to read.
        let (outgoing, frames) = tokio::sync::mpsc::channel(1);
        self.tunnels.answer(TunnelAnswer { incoming, outgoing, first })?;
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }

    type FetchSourceStream = Feed<FetchSourceResponse>;
    async fn fetch_source(&self, request: Request<FetchSourceRequest>) -> Result<Response<Feed<FetchSourceResponse>>, Status> {
        let request = request.into_inner();
        let (reader, size) = self.sources.read(&request.digest, request.offset).await?;
        let pieces = stream::try_unfold(reader, move |mut reader| async move {
            let piece = reader.next().await.map_err(Status::from)?;
            Ok(piece.map(|data| (FetchSourceResponse { data, size }, reader)))
        });
        Ok(Response::new(Box::pin(pieces)))
    }
}

impl Nodes {
    fn admit(&self, hello: &NodeHello) -> Result<(), Status> {
        if hello.protocol != PROTOCOL {
            return Err(WorkspaceError::Protocol("another version of the node protocol").into());
        }
        if hello.node_id.is_empty() || hello.node_id.len() > 128 || hello.node_id.chars().any(char::is_control) {
            return Err(WorkspaceError::Protocol("a node without an id").into());
        }
        let good = hello.token.is_empty() || self.token.matches(&hello.token);
        good.then_some(()).ok_or_else(|| daemon_kit::status::to_status(&crate::auth::Denied::Unknown))
    }
}

/// One node's stream.
struct Connected {
    service: Nodes,
    link: LinkId,
    hello: NodeHello,
}

impl Connected {
    /// Handles its messages until it breaks off or a newer stream takes its place.
    async fn listen(self, mut messages: Streaming<NodeMessage>) {
        self.seen(true).await;
        tracing::info!(node = self.hello.node_id, version = self.hello.version, "a node is connected");
        loop {
            match messages.message().await {
                Ok(Some(message)) => {
                    if let Err(error) = self.handle(message).await {
                        // The stream ends, and what was not acknowledged comes again.
                        tracing::error!(
                            node = self.hello.node_id,
                            error = daemon_kit::status::chain(&error),
                            "a message was not handled"
                        );
                        break;
                    }
                }
                Ok(None) => break,
                Err(status) => {
                    tracing::info!(node = self.hello.node_id, error = status.message(), "the stream of a node broke");
                    break;
                }
            }
        }
        if self.service.nodes.leave(&self.hello.node_id, self.link) {
            self.seen(false).await;
        }
    }

    async fn handle(&self, message: NodeMessage) -> Result<(), WorkspaceError> {
        let (node, workspaces) = (self.hello.node_id.as_str(), &self.service.workspaces);
        let now = workspaces.clock().now();
        if !self.service.nodes.heard(node, self.link, message.sequence, message.ack, now) {
            return Ok(());
        }
        match message.message {
            Some(Up::Inventory(inventory)) => workspaces.inventory(node, inventory.instances).await?,
            Some(Up::Status(status)) => workspaces.report(node, status).await?,
            Some(Up::Event(event)) => workspaces.note_node_event(node, event).await?,
            Some(Up::Heartbeat(_)) | None => {}
            Some(Up::Hello(_)) => return Err(WorkspaceError::Protocol("a second hello on one stream")),
        }
        self.service.nodes.handled(node, self.link, message.sequence);
        Ok(())
    }

    async fn seen(&self, connected: bool) {
        let node = KnownNode {
            id: self.hello.node_id.clone(),
            version: self.hello.version.clone(),
            boot_id: self.hello.boot_id.clone(),
            last_seen: self.service.workspaces.clock().now(),
        };
        if let Err(error) = self.service.workspaces.node_seen(&node, connected).await {
            tracing::error!(node = node.id, error = daemon_kit::status::chain(&error), "a node could not be noted");
        }
    }
}

/// A node's event, as it is kept.
pub fn event_of(node: &str, workspace: (String, String), event: api::v1::NodeEvent, now: i64) -> NewEvent {
    let message: String = event.message.chars().filter(|letter| !letter.is_control()).take(500).collect();
    let kind: String = event.kind.chars().take(60).collect();
    NewEvent {
        time: now,
        workspace_id: workspace.0,
        workspace_name: workspace.1,
        kind: "node.event",
        message: format!("{kind}: {message}"),
        actor: format!("node {node}"),
    }
}
