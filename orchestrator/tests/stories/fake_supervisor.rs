//! What a fake node's tunnels lead to: a supervisor whose commands echo, a node that looks into repositories by script,
//! a port that echoes, and one that refuses.

use std::pin::Pin;

use api::v1::instance_service_server::{InstanceService, InstanceServiceServer};
use api::v1::node_local_service_server::{NodeLocalService, NodeLocalServiceServer};
use api::v1::node_service_client::NodeServiceClient;
use api::v1::*;
use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use crate::fake_node::{FakeNode, Resolving};
use crate::world::Authorized;

type Feed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub fn supervisor() -> Router {
    Server::builder().add_service(InstanceServiceServer::new(Supervisor))
}

pub fn node(node: FakeNode) -> Router {
    Server::builder().add_service(NodeLocalServiceServer::new(Local(node)))
}

/// Serves gRPC over a tunnel.
pub async fn serve(client: NodeServiceClient<Authorized>, id: String, router: Router) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(router.serve_with_incoming(stream::once(async { Ok::<_, std::io::Error>(theirs) }).chain(stream::pending())));
    splice(client, id, ours).await;
}

/// A port whose server sends back what it gets, and ends when its client has.
pub async fn echo(client: NodeServiceClient<Authorized>, id: String) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut read, mut write) = tokio::io::split(theirs);
    tokio::spawn(async move {
        let mut all = Vec::new();
        let _ = read.read_to_end(&mut all).await;
        let _ = write.write_all(&all).await;
        let _ = write.shutdown().await;
    });
    splice(client, id, ours).await;
}

/// Nothing listens.
pub async fn refuse(mut client: NodeServiceClient<Authorized>, id: String) {
    let frame = TunnelFrame {
        id,
        error: "nothing listens on port 1".into(),
        error_class: "unavailable".into(),
        error_reason: "ConnectionRefused".into(),
        ..Default::default()
    };
    let _ = client.tunnel(stream::once(async { frame })).await;
}

async fn splice(mut client: NodeServiceClient<Authorized>, id: String, io: DuplexStream) {
    let (mut read, mut write) = tokio::io::split(io);
    let (frames, outgoing) = mpsc::channel(1);
    frames.send(TunnelFrame { id, ..Default::default() }).await.expect("first frame");
    let Ok(incoming) = client.tunnel(ReceiverStream::new(outgoing)).await else { return };
    let mut incoming = incoming.into_inner();
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = read.read(&mut buffer).await {
            let frame = TunnelFrame { data: buffer[..count].to_vec().into(), eof: count == 0, ..Default::default() };
            if frames.send(frame).await.is_err() || count == 0 {
                return;
            }
        }
    };
    let down = async {
        while let Ok(Some(frame)) = incoming.message().await {
            if write.write_all(&frame.data).await.is_err() || frame.eof {
                break;
            }
        }
        let _ = write.shutdown().await;
    };
    tokio::join!(up, down);
}

/// Looks into repositories by script.
struct Local(FakeNode);

#[tonic::async_trait]
impl NodeLocalService for Local {
    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        self.0.memory(|memory| memory.resolved.push(request.into_inner()));
        let script = self.0.resolving.lock().expect("lock").clone();
        match script {
            Resolving::Answer(answer) => Ok(Response::new(answer)),
            Resolving::Fail(status) => Err(status),
            Resolving::Stall => std::future::pending().await,
        }
    }

    type LogsStream = Feed<LogsResponse>;
    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Feed<LogsResponse>>, Status> {
        let kept = LogsResponse {
            task: "0".into(),
            data: format!("kept for {}", request.get_ref().workspace).into(),
            closed: true,
            ..Default::default()
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(kept)]))))
    }
}

/// Its commands send back their stdin, and end with the code that their first argument names.
struct Supervisor;

#[tonic::async_trait]
impl InstanceService for Supervisor {
    type WatchStateStream = Feed<SupervisorState>;
    async fn watch_state(&self, _: Request<WatchStateRequest>) -> Result<Response<Feed<SupervisorState>>, Status> {
        Ok(Response::new(Box::pin(stream::pending())))
    }

    type ExecStream = Feed<ExecResponse>;
    async fn exec(&self, request: Request<Streaming<ExecRequest>>) -> Result<Response<Feed<ExecResponse>>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.expect("start");
        let Some(exec_request::Message::Start(start)) = first.message else { panic!("no start") };
        if start.command == ["missing"] {
            return Err(daemon_kit::status::from_detail(&ErrorDetail {
                class: "not-found".into(),
                reason: "CommandNotFound".into(),
                message: "no program \"missing\"".into(),
                hint: "install it".into(),
            }));
        }
        let code = start.command.first().and_then(|code| code.parse().ok()).unwrap_or(0);
        let answer = |message| ExecResponse { message: Some(message) };
        let echo = messages.filter_map(move |message| async move {
            match message.ok()?.message? {
                exec_request::Message::Stdin(data) => Some(Ok(answer(exec_response::Message::Stdout(data)))),
                exec_request::Message::StdinEof(_) => {
                    Some(Ok(answer(exec_response::Message::Exit(ExecExit { code, ..Default::default() }))))
                }
                _ => None,
            }
        });
        let started = answer(exec_response::Message::Started(ExecStarted { pid: 7 }));
        Ok(Response::new(Box::pin(stream::iter([Ok(started)]).chain(echo))))
    }

    type AttachStream = Feed<AttachResponse>;
    async fn attach(&self, request: Request<Streaming<AttachRequest>>) -> Result<Response<Feed<AttachResponse>>, Status> {
        let messages = request.into_inner().skip(1);
        let opened = AttachResponse {
            message: Some(attach_response::Message::Opened(TerminalStatus { alias: "t1".into(), ..Default::default() })),
        };
        let echo = messages.filter_map(|message| async move {
            let Some(attach_request::Message::Input(data)) = message.ok()?.message else { return None };
            Some(Ok(AttachResponse { message: Some(attach_response::Message::Output(data)) }))
        });
        Ok(Response::new(Box::pin(stream::iter([Ok(opened)]).chain(echo))))
    }

    async fn list_terminals(&self, _: Request<ListTerminalsRequest>) -> Result<Response<ListTerminalsResponse>, Status> {
        Ok(Response::new(ListTerminalsResponse { terminals: vec![TerminalStatus { alias: "t1".into(), ..Default::default() }] }))
    }

    async fn close_terminal(&self, _: Request<CloseTerminalRequest>) -> Result<Response<CloseTerminalResponse>, Status> {
        Ok(Response::new(CloseTerminalResponse {}))
    }

    type LogsStream = Feed<LogsResponse>;
    async fn logs(&self, _: Request<LogsRequest>) -> Result<Response<Feed<LogsResponse>>, Status> {
        let live = LogsResponse { task: "0".into(), data: "live".into(), closed: true, ..Default::default() };
        Ok(Response::new(Box::pin(stream::iter([Ok(live)]))))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        Ok(Response::new(ShutdownResponse::default()))
    }

    async fn resolve(&self, _: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        Ok(Response::new(ResolveResponse::default()))
    }

    async fn set_port_visibility(
        &self,
        _: Request<SetPortVisibilityRequest>,
    ) -> Result<Response<SetPortVisibilityResponse>, Status> {
        Ok(Response::new(SetPortVisibilityResponse {}))
    }
}
