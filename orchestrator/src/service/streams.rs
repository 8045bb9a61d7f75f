//! Commands, terminals, logs and ports: each message is passed on to the instance's supervisor and back.
//!
//! Back-pressure is the wire's own, both ways: a message is read from one side when the other has room for it. A client
//! that goes away ends its stream to the supervisor; what it attached to lives on. While a stream is open, somebody is
//! in the workspace.

use std::sync::Arc;

use api::v1::open_tunnel::Target;
use api::v1::*;
use bytes::BytesMut;
use futures::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::workspaces::Feed;
use crate::activity::Presence;
use crate::error::WorkspaceError;
use crate::supervisors::{Supervisors, passed_on};
use crate::workspaces::SharedWorkspaces;

/// How much of a port's bytes goes into one message.
const PIECE: usize = 64 * 1024;

/// Passes messages on.
pub struct Streams {
    workspaces: SharedWorkspaces,
    supervisors: Arc<Supervisors>,
}

/// A running instance, found.
struct Running {
    workspace_id: String,
    node: String,
    instance_id: String,
}

impl Streams {
    /// Over these channels.
    pub fn new(workspaces: SharedWorkspaces, supervisors: Arc<Supervisors>) -> Arc<Self> {
        Arc::new(Self { workspaces, supervisors })
    }

    /// The instance of the workspace that is meant, if it runs.
    fn running(&self, workspace: &str) -> Result<Running, WorkspaceError> {
        let found = self.workspaces.find(workspace)?;
        // Content is still being brought in while it starts, and commands can be run to look at that.
        let reachable = matches!(found.phase(), Phase::Running | Phase::Starting);
        if !reachable {
            let phase = domain::phase::Phase::try_from(found.phase()).unwrap_or(domain::phase::Phase::Unknown);
            return Err(WorkspaceError::NotRunning { name: found.name.clone(), phase });
        }
        Ok(Running { workspace_id: found.id.clone(), node: found.node.clone(), instance_id: found.instance_id.clone() })
    }

    fn client(&self, target: &Running) -> instance_service_client::InstanceServiceClient<tonic::transport::Channel> {
        self.supervisors.supervisor(&target.node, &target.instance_id)
    }

    fn enter(&self, target: &Running) -> Arc<Presence> {
        Arc::new(self.workspaces.activity().enter(&target.workspace_id))
    }

    /// Runs a command.
    pub async fn exec(&self, mut requests: Streaming<ExecRequest>) -> Result<Feed<ExecResponse>, Status> {
        let first = requests.message().await?.ok_or_else(no_start)?;
        let Some(exec_request::Message::Start(start)) = &first.message else { return Err(no_start()) };
        let target = self.running(&start.workspace)?;
        let presence = self.enter(&target);
        let answers = self.client(&target).exec(onward(first, requests, presence.clone())).await;
        Ok(back(answers.map_err(|status| passed_on(&status))?.into_inner(), presence))
    }

    /// Attaches a viewer to a terminal.
    pub async fn attach(&self, mut requests: Streaming<AttachRequest>) -> Result<Feed<AttachResponse>, Status> {
        let first = requests.message().await?.ok_or_else(no_start)?;
        let Some(attach_request::Message::Start(start)) = &first.message else { return Err(no_start()) };
        let target = self.running(&start.workspace)?;
        let presence = self.enter(&target);
        let answers = self.client(&target).attach(onward(first, requests, presence.clone())).await;
        Ok(back(answers.map_err(|status| passed_on(&status))?.into_inner(), presence))
    }

    /// The terminals there are.
    pub async fn list_terminals(&self, request: ListTerminalsRequest) -> Result<ListTerminalsResponse, Status> {
        let target = self.running(&request.workspace)?;
        let answer = self.client(&target).list_terminals(request).await;
        Ok(answer.map_err(|status| passed_on(&status))?.into_inner())
    }

    /// Ends one.
    pub async fn close_terminal(&self, request: CloseTerminalRequest) -> Result<CloseTerminalResponse, Status> {
        let target = self.running(&request.workspace)?;
        let answer = self.client(&target).close_terminal(request).await;
        Ok(answer.map_err(|status| passed_on(&status))?.into_inner())
    }

    /// Output of tasks: of a running instance from its supervisor, else from what the node kept.
    pub async fn logs(&self, request: LogsRequest) -> Result<Feed<LogsResponse>, Status> {
        let answers = match self.running(&request.workspace) {
            Ok(target) => self.client(&target).logs(request).await,
            Err(error @ WorkspaceError::NotRunning { .. }) => {
                let found = self.workspaces.find(&request.workspace)?;
                if found.node.is_empty() {
                    return Err(error.into());
                }
                self.supervisors.node(&found.node).logs(LogsRequest { workspace: found.id.clone(), ..request }).await
            }
            Err(error) => return Err(error.into()),
        };
        let answers = answers.map_err(|status| passed_on(&status))?.into_inner();
        // Reading logs keeps nothing awake.
        Ok(Box::pin(answers.map(|answer| answer.map_err(|status| passed_on(&status)))))
    }

    /// Bytes to a port and back.
    pub async fn port_forward(&self, mut requests: Streaming<PortForwardRequest>) -> Result<Feed<PortForwardResponse>, Status> {
        let first = requests.message().await?.ok_or_else(no_start)?;
        let Some(port_forward_request::Message::Start(start)) = first.message else { return Err(no_start()) };
        let port = crate::workspaces::checked_port(start.port)?;
        let target = self.running(&start.workspace)?;
        let presence = self.enter(&target);
        let instance_id = target.instance_id.clone();
        let port = TunnelPort { instance_id, port: port.into() };
        let tunnel = self.supervisors.tunnels().open(&target.node, Target::Port(port)).await?;
        let (mut from_port, mut to_port) = tokio::io::split(tunnel);
        let sending = presence.clone();
        let sender = tokio::spawn(async move {
            while let Ok(Some(PortForwardRequest { message: Some(port_forward_request::Message::Data(data)) })) =
                requests.message().await
            {
                sending.touch();
                if to_port.write_all(&data).await.is_err() {
                    return;
                }
            }
            // The client's half is closed; the port may go on sending.
            let _ = to_port.shutdown().await;
        });
        let (answers, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let mut data = BytesMut::with_capacity(PIECE);
                let answer = match from_port.read_buf(&mut data).await {
                    Ok(0) => break,
                    Ok(_) => Ok(PortForwardResponse { data: data.freeze() }),
                    Err(source) => Err(WorkspaceError::Broken { what: "read from the port", source }.into()),
                };
                presence.touch();
                let ended = answer.is_err();
                // An error here: the client is gone.
                if answers.send(answer).await.is_err() || ended {
                    break;
                }
            }
            sender.abort();
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

fn no_start() -> Status {
    WorkspaceError::Protocol("the first message of the stream is not `start`").into()
}

/// The client's messages, for the supervisor. A client that breaks off ends the stream.
fn onward<M: Send + 'static>(first: M, rest: Streaming<M>, presence: Arc<Presence>) -> impl Stream<Item = M> + Send + 'static {
    let rest = rest.scan((), |(), message| futures::future::ready(message.ok())).inspect(move |_| presence.touch());
    stream::once(futures::future::ready(first)).chain(rest)
}

/// The supervisor's messages, for the client.
fn back<M: Send + 'static>(answers: Streaming<M>, presence: Arc<Presence>) -> Feed<M> {
    Box::pin(answers.map(move |answer| {
        presence.touch();
        answer.map_err(|status| passed_on(&status))
    }))
}
