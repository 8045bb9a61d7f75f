//! `crannog.v1.InstanceService`: what the node, and people through it, ask of this instance.

use std::time::Duration;

use api::v1::instance_service_server::InstanceService;
use api::v1::*;
use futures::stream;
use tonic::{Request, Response, Status, Streaming};

use super::fault::status;
use super::{Answers, attach, exec, logs};
use crate::context::Context;
use crate::shutdown::Shutdown;
use crate::{ports, resolve};

/// Changes of the state that come closer together than this are told as one.
const MERGE: Duration = Duration::from_millis(25);

/// The service.
#[derive(Clone)]
pub struct Instance {
    context: Context,
    shutdown: Shutdown,
}

impl Instance {
    /// Serves this instance.
    pub fn new(context: Context, shutdown: Shutdown) -> Self {
        Self { context, shutdown }
    }
}

#[tonic::async_trait]
impl InstanceService for Instance {
    type WatchStateStream = Answers<SupervisorState>;
    type ExecStream = Answers<ExecResponse>;
    type AttachStream = Answers<AttachResponse>;
    type LogsStream = Answers<LogsResponse>;

    async fn watch_state(&self, _: Request<WatchStateRequest>) -> Result<Response<Self::WatchStateStream>, Status> {
        let states = stream::unfold((self.context.hub.watch(), false), async |(mut watch, told)| {
            if told {
                tokio::time::sleep(MERGE).await;
            }
            watch.changed().await.ok()?;
            let state = watch.borrow_and_update().clone();
            Some((Ok(state), (watch, true)))
        });
        Ok(Response::new(Box::pin(states)))
    }

    async fn exec(&self, asks: Request<Streaming<ExecRequest>>) -> Result<Response<Self::ExecStream>, Status> {
        exec::serve(&self.context, asks.into_inner()).await.map(Response::new)
    }

    async fn attach(&self, asks: Request<Streaming<AttachRequest>>) -> Result<Response<Self::AttachStream>, Status> {
        attach::serve(&self.context, asks.into_inner()).await.map(Response::new)
    }

    async fn list_terminals(&self, _: Request<ListTerminalsRequest>) -> Result<Response<ListTerminalsResponse>, Status> {
        let terminals = self.context.terminals.list().iter().map(|terminal| terminal.status()).collect();
        Ok(Response::new(ListTerminalsResponse { terminals }))
    }

    async fn close_terminal(&self, request: Request<CloseTerminalRequest>) -> Result<Response<CloseTerminalResponse>, Status> {
        self.context.terminals.close(&request.get_ref().terminal).await.map_err(status)?;
        Ok(Response::new(CloseTerminalResponse {}))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        logs::serve(&self.context, request.into_inner()).map(Response::new)
    }

    async fn shutdown(&self, request: Request<ShutdownRequest>) -> Result<Response<ShutdownResponse>, Status> {
        let ShutdownRequest { grace_ms, reason } = request.into_inner();
        let killed = self.shutdown.drain(Duration::from_millis(grace_ms), &reason).await;
        Ok(Response::new(ShutdownResponse { killed }))
    }

    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        resolve::resolve(&self.context, request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn set_port_visibility(
        &self,
        request: Request<SetPortVisibilityRequest>,
    ) -> Result<Response<SetPortVisibilityResponse>, Status> {
        let request = request.get_ref();
        let port = u16::try_from(request.port).map_err(|_| Status::invalid_argument("a port is below 65536"))?;
        ports::set_visibility(&self.context, port, request.visibility()).map_err(status)?;
        Ok(Response::new(SetPortVisibilityResponse {}))
    }
}
