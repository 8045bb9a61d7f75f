//! A supervisor in the test, over the real wire: it serves on the listening socket that the node handed over.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use api::v1::instance_service_server::{InstanceService, InstanceServiceServer};
use api::v1::*;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::FakeMachine;
use crate::error::NodeError;

/// What a supervisor does.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What it says first, on top of "content is ready".
    pub state: Option<SupervisorState>,
    /// It does not answer a request to shut down.
    pub ignores_shutdown: bool,
    /// What it answers to Resolve.
    pub resolve: Option<ResolveResponse>,
    /// What its tasks have written.
    pub logs: Vec<LogsResponse>,
}

/// PID 1 of a fake container.
#[derive(Clone)]
pub struct FakeSupervisor {
    state: watch::Sender<SupervisorState>,
    dead: CancellationToken,
}

impl FakeSupervisor {
    pub(super) fn start(
        api: OwnedFd,
        config: SupervisorConfig,
        script: Script,
        machine: Arc<FakeMachine>,
        id: String,
    ) -> Result<Self, NodeError> {
        let listener = UnixListener::from_std(api.into()).map_err(NodeError::io("take the listening socket"))?;
        let first = script.state.clone().unwrap_or_else(|| ready(&config));
        let state = watch::Sender::new(first);
        let dead = CancellationToken::new();
        let service = Service { state: state.clone(), script, machine, id };
        let server = tonic::transport::Server::builder()
            .add_service(InstanceServiceServer::new(service))
            .serve_with_incoming(UnixListenerStream::new(listener));
        // A runtime of its own: it lives on when the daemon's tasks end, as a real one does.
        let until = dead.clone();
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(until.run_until_cancelled(server));
        });
        Ok(Self { state, dead })
    }

    /// Says something new.
    pub fn say(&self, state: SupervisorState) {
        self.state.send_replace(state);
    }

    pub(super) fn die(&self) {
        self.dead.cancel();
    }
}

/// Content is in its place, and one task runs.
pub fn ready(config: &SupervisorConfig) -> SupervisorState {
    let content = ContentStatus { ready: true, init_done: !config.run_init, ..ContentStatus::default() };
    SupervisorState { content: Some(content), ..SupervisorState::default() }
}

struct Service {
    state: watch::Sender<SupervisorState>,
    script: Script,
    machine: Arc<FakeMachine>,
    id: String,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl InstanceService for Service {
    type WatchStateStream = Answers<SupervisorState>;
    type ExecStream = Answers<ExecResponse>;
    type AttachStream = Answers<AttachResponse>;
    type LogsStream = Answers<LogsResponse>;

    async fn watch_state(&self, _: Request<WatchStateRequest>) -> Result<Response<Self::WatchStateStream>, Status> {
        Ok(Response::new(Box::pin(WatchStream::new(self.state.subscribe()).map(Ok))))
    }

    async fn exec(&self, _: Request<Streaming<ExecRequest>>) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("a fake runs no command"))
    }

    async fn attach(&self, _: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("a fake has no terminal"))
    }

    async fn list_terminals(&self, _: Request<ListTerminalsRequest>) -> Result<Response<ListTerminalsResponse>, Status> {
        Ok(Response::new(ListTerminalsResponse::default()))
    }

    async fn close_terminal(&self, _: Request<CloseTerminalRequest>) -> Result<Response<CloseTerminalResponse>, Status> {
        Err(Status::not_found("no terminal"))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let offsets = request.into_inner().offsets;
        let wanted = move |piece: &LogsResponse| {
            let from = offsets.get(&piece.task).copied().unwrap_or_default();
            piece.offset + piece.data.len() as u64 > from || piece.closed
        };
        let pieces: Vec<_> = self.script.logs.iter().filter(|piece| wanted(piece)).cloned().map(Ok).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces).chain(tokio_stream::pending()))))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        if self.script.ignores_shutdown {
            std::future::pending::<()>().await;
        }
        let (machine, id) = (self.machine.clone(), self.id.clone());
        // Answers first, then ends.
        std::thread::spawn(move || machine.end(&id));
        Ok(Response::new(ShutdownResponse::default()))
    }

    async fn resolve(&self, _: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        self.script.resolve.clone().map(Response::new).ok_or_else(|| Status::not_found("no such repository"))
    }

    async fn set_port_visibility(
        &self,
        _: Request<SetPortVisibilityRequest>,
    ) -> Result<Response<SetPortVisibilityResponse>, Status> {
        Ok(Response::new(SetPortVisibilityResponse {}))
    }
}
