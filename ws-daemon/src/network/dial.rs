//! Connecting to a port of an instance, on its own loopback: servers that listen only there are reached, and no address of
//! a bridge is ever trusted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use domain::class::Class;
use tokio::net::{TcpSocket, TcpStream};

use crate::error::NodeError;

/// How long a connection may take. It goes over loopback: what takes longer has a full backlog.
const DEADLINE: Duration = Duration::from_secs(5);

/// Connects to 127.0.0.1, then to ::1. The socket does not block.
pub(super) async fn dial(namespace: &Path, port: u16) -> Result<OwnedFd, NodeError> {
    let file = namespace.to_owned();
    let sockets = tokio::task::spawn_blocking(move || sys::netns::tcp_sockets(&file)).await;
    let (v4, v6) = match sockets {
        Ok(Ok(sockets)) => sockets,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err(not_running()),
        Ok(Err(error)) => return Err(NodeError::io(format!("make a socket in {}", namespace.display()))(error)),
        Err(source) => return Err(NodeError::Inside { doing: "make a socket".into(), source: source.into() }),
    };
    let both = async {
        match connect(v4, SocketAddr::from(([127, 0, 0, 1], port))).await {
            Ok(stream) => Ok(stream),
            Err(_) => connect(v6, SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))).await,
        }
    };
    match tokio::time::timeout(DEADLINE, both).await {
        Ok(Ok(stream)) => stream.into_std().map(OwnedFd::from).map_err(NodeError::io("hand over a socket")),
        Ok(Err(error)) => Err(refused(port, &error)),
        Err(_) => Err(too_slow(port)),
    }
}

async fn connect(socket: OwnedFd, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn not_running() -> NodeError {
    NodeError::refused(
        Class::FailedPrecondition,
        "InstanceNotRunning",
        "the instance has no network: it does not run",
        "start the workspace",
    )
}

fn refused(port: u16, error: &io::Error) -> NodeError {
    NodeError::refused(
        Class::Unavailable,
        "PortNotServed",
        format!("nothing listens on port {port}: {error}"),
        "start the server inside, on 127.0.0.1, ::1 or all addresses",
    )
}

fn too_slow(port: u16) -> NodeError {
    NodeError::refused(
        Class::DeadlineExceeded,
        "PortTooSlow",
        format!("the server on port {port} takes no connection"),
        "it is busy or stopped: look at its terminal",
    )
}
