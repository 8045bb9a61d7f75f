//! `WorkspaceService`: what people, programs and agents use.

use std::pin::Pin;
use std::sync::Arc;

use api::v1::workspace_service_server::WorkspaceService;
use api::v1::*;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::OWNER;
use super::feeds;
use super::streams::Streams;
use crate::nodes::SharedNodes;
use crate::sessions::Sessions;
use crate::sources::Sources;
use crate::store::Store;
use crate::workspaces::SharedWorkspaces;

type Answer<T> = Result<Response<T>, Status>;
/// A stream of answers.
pub type Feed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The handlers' parts.
#[derive(Clone)]
pub struct Workspaces {
    /// Carries verbs out.
    pub workspaces: SharedWorkspaces,
    /// Who is connected.
    pub nodes: SharedNodes,
    /// Uploads.
    pub sources: Sources,
    /// Links for browsers.
    pub sessions: Sessions,
    /// Events.
    pub store: Store,
    /// Bytes in and out of instances.
    pub streams: Arc<Streams>,
}

#[tonic::async_trait]
impl WorkspaceService for Workspaces {
    async fn upload_source(&self, request: Request<Streaming<UploadSourceRequest>>) -> Answer<UploadSourceResponse> {
        let mut pieces = request.into_inner();
        let mut upload = self.sources.upload()?;
        while let Some(piece) = pieces.message().await? {
            upload.write(&piece.data).await?;
        }
        let uploaded = self.sources.keep(upload, self.workspaces.clock().now()).await?;
        Ok(Response::new(UploadSourceResponse { digest: uploaded.digest, size: uploaded.size, known: uploaded.known }))
    }

    async fn create_workspace(&self, request: Request<CreateWorkspaceRequest>) -> Answer<Workspace> {
        Ok(Response::new(self.workspaces.create(request.into_inner(), OWNER).await?))
    }

    async fn get_workspace(&self, request: Request<GetWorkspaceRequest>) -> Answer<Workspace> {
        let found = self.workspaces.find(&request.get_ref().workspace)?;
        Ok(Response::new(Workspace::clone(&found)))
    }

    async fn list_workspaces(&self, request: Request<ListWorkspacesRequest>) -> Answer<ListWorkspacesResponse> {
        let with_deleted = request.get_ref().with_deleted;
        let all = self.workspaces.hub().all().into_iter().filter(|workspace| with_deleted || !workspace.deleted);
        Ok(Response::new(ListWorkspacesResponse { workspaces: all.map(|workspace| Workspace::clone(&workspace)).collect() }))
    }

    type WatchWorkspacesStream = Feed<Workspace>;
    async fn watch_workspaces(&self, request: Request<WatchWorkspacesRequest>) -> Answer<Feed<Workspace>> {
        let which = &request.get_ref().workspace;
        let only = if which.is_empty() { None } else { Some(self.workspaces.find(which)?.id.clone()) };
        let states = feeds::states(self.workspaces.hub().watch(only));
        Ok(Response::new(feeds::until_the_end(states, self.workspaces.ending())))
    }

    async fn start_workspace(&self, request: Request<StartWorkspaceRequest>) -> Answer<Workspace> {
        Ok(Response::new(self.workspaces.start(request.into_inner(), OWNER).await?))
    }

    async fn stop_workspace(&self, request: Request<StopWorkspaceRequest>) -> Answer<Workspace> {
        Ok(Response::new(self.workspaces.stop(request.into_inner(), OWNER).await?))
    }

    async fn delete_workspace(&self, request: Request<DeleteWorkspaceRequest>) -> Answer<DeleteWorkspaceResponse> {
        self.workspaces.delete(request.into_inner(), OWNER).await?;
        Ok(Response::new(DeleteWorkspaceResponse {}))
    }

    async fn set_port_visibility(&self, request: Request<SetWorkspacePortRequest>) -> Answer<Workspace> {
        Ok(Response::new(self.workspaces.set_port(request.into_inner(), OWNER).await?))
    }

    async fn create_port_link(&self, request: Request<CreatePortLinkRequest>) -> Answer<CreatePortLinkResponse> {
        let request = request.into_inner();
        let port = crate::workspaces::checked_port(request.port)?;
        let workspace = self.workspaces.find(&request.workspace)?;
        Ok(Response::new(self.sessions.link(&workspace, port).await?))
    }

    type EventsStream = Feed<Event>;
    async fn events(&self, request: Request<EventsRequest>) -> Answer<Feed<Event>> {
        let request = request.into_inner();
        let id = self.workspaces.id_for_events(&request.workspace)?;
        let changes = self.workspaces.event_changes();
        let events = feeds::events(self.store.clone(), changes, id, request.after, request.follow);
        Ok(Response::new(feeds::until_the_end(events, self.workspaces.ending())))
    }

    type ExecStream = Feed<ExecResponse>;
    async fn exec(&self, request: Request<Streaming<ExecRequest>>) -> Answer<Feed<ExecResponse>> {
        self.streams.exec(request.into_inner()).await.map(Response::new)
    }

    type AttachStream = Feed<AttachResponse>;
    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Answer<Feed<AttachResponse>> {
        let terminal = self.streams.attach(request.into_inner()).await?;
        Ok(Response::new(feeds::until_the_end(terminal, self.workspaces.ending())))
    }

    async fn list_terminals(&self, request: Request<ListTerminalsRequest>) -> Answer<ListTerminalsResponse> {
        self.streams.list_terminals(request.into_inner()).await.map(Response::new)
    }

    async fn close_terminal(&self, request: Request<CloseTerminalRequest>) -> Answer<CloseTerminalResponse> {
        self.streams.close_terminal(request.into_inner()).await.map(Response::new)
    }

    type LogsStream = Feed<LogsResponse>;
    async fn logs(&self, request: Request<LogsRequest>) -> Answer<Feed<LogsResponse>> {
        let logs = self.streams.logs(request.into_inner()).await?;
        Ok(Response::new(feeds::until_the_end(logs, self.workspaces.ending())))
    }

    type PortForwardStream = Feed<PortForwardResponse>;
    async fn port_forward(&self, request: Request<Streaming<PortForwardRequest>>) -> Answer<Feed<PortForwardResponse>> {
        self.streams.port_forward(request.into_inner()).await.map(Response::new)
    }

    async fn server_info(&self, _: Request<ServerInfoRequest>) -> Answer<ServerInfoResponse> {
        let config = self.workspaces.settings().config();
        let known = self.store.nodes().await.map_err(crate::error::WorkspaceError::from)?;
        let node = |known: crate::store::KnownNode| NodeInfo {
            connected: self.nodes.is_connected(&known.id),
            last_seen_unix_ms: self.nodes.get(&known.id).map_or(known.last_seen, |node| node.last_heard),
            version: known.version,
            id: known.id,
        };
        Ok(Response::new(ServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            edge_url: config.edge_url.clone(),
            nodes: known.into_iter().map(node).collect(),
            default_image: config.default_image.clone(),
        }))
    }
}
