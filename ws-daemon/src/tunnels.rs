//! Bytes between the orchestrator and something on this node: a supervisor, a port, or the node's own service. The
//! orchestrator asks down the node stream, the node dials back and splices. Each side reads only as fast as the other
//! writes; a half close is passed on as one.

use api::v1::{OpenTunnel, TunnelFrame, TunnelPort, open_tunnel};
use bytes::{BufMut, BytesMut};
use domain::class::{Class, Classify};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::error::NodeError;
use crate::instances::Instances;
use crate::orchestrator::{self, Orchestrator};
use crate::supervisor;

/// Bytes in one frame.
const FRAME: usize = 32 << 10;
/// What the orchestrator may take to end a tunnel whose both sides have said that they have no more.
const LINGER: std::time::Duration = std::time::Duration::from_secs(30);
/// Frames on their way; who is faster waits.
const FRAMES: usize = 4;

/// Opens tunnels. Cheap to clone.
#[derive(Clone)]
pub struct Tunnels {
    instances: Instances,
    orchestrator: Orchestrator,
    local: mpsc::Sender<DuplexStream>,
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

impl Tunnels {
    /// Tunnels to `instances`; those to the node itself are given to `local`.
    pub fn new(instances: Instances, orchestrator: Orchestrator, local: mpsc::Sender<DuplexStream>) -> Self {
        Self { instances, orchestrator, local }
    }

    /// Answers one request for a tunnel; returns when the tunnel has ended.
    pub async fn open(&self, request: OpenTunnel) {
        let target = self.connect(request.target).await;
        if let Err(error) = self.dial_back(request.id, target).await {
            tracing::debug!(%error, "a tunnel ended");
        }
    }

    async fn connect(&self, target: Option<open_tunnel::Target>) -> Result<Box<dyn Bytes>, NodeError> {
        match target {
            Some(open_tunnel::Target::Supervisor(id)) => {
                self.instances.require_container(&id)?;
                let socket = self.instances.world().layout.supervisor_socket(&id);
                let stream = supervisor::open(&socket).map_err(NodeError::io(format!("reach the supervisor of {id}")))?;
                Ok(Box::new(stream))
            }
            Some(open_tunnel::Target::Port(port)) => self.connect_port(port).await,
            Some(open_tunnel::Target::Node(_)) => {
                let (ours, theirs) = tokio::io::duplex(FRAME * 2);
                let ending = |_| NodeError::refused(Class::Unavailable, "NodeEnding", "the node is ending", "try again");
                self.local.send(theirs).await.map_err(ending)?;
                Ok(Box::new(ours))
            }
            None => Err(NodeError::refused(Class::InvalidArgument, "TunnelTarget", "a tunnel to nowhere", "")),
        }
    }

    async fn connect_port(&self, port: TunnelPort) -> Result<Box<dyn Bytes>, NodeError> {
        let socket = crate::dial::dial(&self.instances, &port.instance_id, port.port).await?;
        let doing = || format!("use the socket to port {}", port.port);
        let socket = std::net::TcpStream::from(socket);
        socket.set_nonblocking(true).map_err(NodeError::io(doing()))?;
        Ok(Box::new(TcpStream::from_std(socket).map_err(NodeError::io(doing()))?))
    }

    async fn dial_back(&self, id: String, target: Result<Box<dyn Bytes>, NodeError>) -> Result<(), NodeError> {
        let (up, frames) = mpsc::channel(FRAMES);
        let refusal = target.as_ref().err().map(failed);
        let first = TunnelFrame { id, ..refusal.unwrap_or_default() };
        let _ = up.send(first).await;
        let mut client = self.orchestrator.bulk();
        let down = client
            .tunnel(ReceiverStream::new(frames))
            .await
            .map_err(|status| orchestrator::refused("open a tunnel", &status))?
            .into_inner();
        match target {
            Ok(target) => splice(target, up, down).await,
            Err(_) => Ok(()),
        }
    }
}

/// The frame that says why there is no tunnel.
fn failed(error: &NodeError) -> TunnelFrame {
    TunnelFrame {
        error: error.to_string(),
        error_class: error.class().as_str().into(),
        error_reason: error.reason().into(),
        ..TunnelFrame::default()
    }
}

/// Passes bytes both ways until both sides have said that they have no more, or one of them is gone.
async fn splice(
    target: Box<dyn Bytes>,
    up: mpsc::Sender<TunnelFrame>,
    mut down: Streaming<TunnelFrame>,
) -> Result<(), NodeError> {
    let (read, write) = tokio::io::split(target);
    let upwards = async {
        let end = send_all(read, &up).await;
        let _ = up.send(end).await;
        Ok(())
    };
    let both = async { tokio::try_join!(upwards, receive_all(write, &mut down)) };
    // The orchestrator went away: nobody reads what the target still has to say.
    tokio::select! {
        result = both => result.map(drop)?,
        () = up.closed() => return Ok(()),
    }
    // To drop `down` is to cancel the call, and with it what is still on its way: the other side ends it.
    drop(up);
    let _ = tokio::time::timeout(LINGER, async { while let Ok(Some(_)) = down.message().await {} }).await;
    Ok(())
}

async fn send_all(mut read: impl AsyncRead + Unpin, up: &mpsc::Sender<TunnelFrame>) -> TunnelFrame {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(FRAME);
        match read.read_buf(&mut (&mut buffer).limit(FRAME)).await {
            Ok(0) => return TunnelFrame { eof: true, ..TunnelFrame::default() },
            Ok(_) => {
                let data = buffer.split().freeze();
                if up.send(TunnelFrame { data, ..TunnelFrame::default() }).await.is_err() {
                    return TunnelFrame::default();
                }
            }
            Err(source) => return failed(&NodeError::io("read from the target of a tunnel")(source)),
        }
    }
}

async fn receive_all(mut write: impl AsyncWrite + Unpin, down: &mut Streaming<TunnelFrame>) -> Result<(), NodeError> {
    let doing = "write to the target of a tunnel";
    loop {
        let frame = down.message().await.map_err(|status| orchestrator::refused("read a tunnel", &status))?;
        let Some(frame) = frame else {
            // Ended without an eof: the other side is gone, not merely silent.
            return Err(NodeError::refused(Class::Aborted, "TunnelCut", "the other side of a tunnel is gone", ""));
        };
        write.write_all(&frame.data).await.map_err(NodeError::io(doing))?;
        write.flush().await.map_err(NodeError::io(doing))?;
        if frame.eof {
            return write.shutdown().await.map_err(NodeError::io(doing));
        }
    }
}
