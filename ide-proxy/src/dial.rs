//! Connected sockets from the node of this machine. One packet asks `dial.sock`, one packet brings a TCP socket that was
//! made inside the instance's network namespace: servers on loopback are reached, and no address of a bridge is used.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use api::dial::{DialAnswer, DialError, DialRequest, MAX_PACKET};
use daemon_kit::units::HumanDuration;
use domain::class::Class;
use sys::fd_pass::SeqPacket;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use crate::error::DialFailure;
use crate::ports::Dialer;
use crate::routes::Route;

/// Asks the node whose socket is on this machine.
#[derive(Debug, Clone, Copy)]
pub struct LocalDialer {
    /// For the whole exchange.
    pub timeout: HumanDuration,
}

#[tonic::async_trait]
impl Dialer for LocalDialer {
    async fn dial(&self, route: &Route, port: u16) -> Result<TcpStream, DialFailure> {
        if route.dial_socket.is_empty() {
            return Err(DialFailure::Elsewhere(route.node.clone()));
        }
        let asked = ask(Path::new(&route.dial_socket), &route.instance_id, port);
        let socket = tokio::time::timeout(self.timeout.0, asked).await;
        let socket = socket.map_err(|_| DialFailure::TimedOut(self.timeout.0))??;
        stream(socket).map_err(DialFailure::Socket)
    }
}

async fn ask(path: &Path, instance: &str, port: u16) -> Result<OwnedFd, DialFailure> {
    let question = DialRequest { instance: instance.to_owned(), port };
    let question = serde_json::to_vec(&question).map_err(|error| DialFailure::Socket(error.into()))?;
    let (answer, socket) = exchange(path, &question).await.map_err(DialFailure::Socket)?;
    match (serde_json::from_slice(&answer), socket) {
        (Ok(DialAnswer::Ok(_)), Some(socket)) => Ok(socket),
        (Ok(DialAnswer::Error(error)), _) => Err(failure(error, port)),
        (Ok(DialAnswer::Ok(_)), None) => Err(DialFailure::Socket(io::Error::other("an answer without its socket"))),
        (Err(error), _) => Err(DialFailure::Socket(error.into())),
    }
}

#[expect(deprecated, reason = "`register` is unsafe for types that may change their descriptor; this one owns one for life")]
async fn exchange(path: &Path, question: &[u8]) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let node = AsyncFd::new(SeqPacket::connect(path)?)?;
    node.async_io(tokio::io::Interest::WRITABLE, |node| node.send(question, &[])).await?;
    let mut buffer = vec![0; MAX_PACKET];
    let packet = node.async_io(tokio::io::Interest::READABLE, |node| node.receive(&mut buffer)).await?;
    if packet.length == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node closed its dial socket"));
    }
    buffer.truncate(packet.length);
    Ok((buffer, packet.descriptors.into_iter().next()))
}

fn failure(error: DialError, port: u16) -> DialFailure {
    match (error.class, error.reason.as_str()) {
        (_, "PortNotServed" | "ConnectionRefused") => DialFailure::Refused { port },
        (Class::DeadlineExceeded, _) => DialFailure::TooSlow { port, message: error.message },
        (Class::NotFound | Class::FailedPrecondition, _) => DialFailure::NotRunning(error.message),
        _ => DialFailure::Node { port, message: error.message },
    }
}

fn stream(socket: OwnedFd) -> io::Result<TcpStream> {
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    TcpStream::from_std(socket)
}
