//! Connections of clients: taken in up to a bound, judged, served by HTTP/1.1, and let finish when the edge ends. An
//! error of `accept` never ends the loop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::service::{Connection, Edge};
use crate::wire::guard::Guard;

/// hyper's own default, for which it needs no memory of its own.
const USUAL_HEADERS: usize = 100;
/// How long to wait when there are no descriptors left: something may be closed meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 26\r\n\r\nToo many connections here\n";

/// Serves until `shutdown`, then lets requests finish for `drain`; tunnels are closed at its end.
pub async fn serve(edge: Arc<Edge>, listener: TcpListener, limits: &Limits, drain: Duration, shutdown: impl Future<Output = ()>) {
    let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
    let room = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => take_in(&edge, socket, peer, limits, &room, &connections, &stop),
                Err(error) => failed(&error).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    drop(listener);
    stop.cancel();
    connections.close();
    edge.tunnels.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::info!(left = connections.len(), "closing connections that did not finish in time");
    }
    edge.ending.cancel();
    edge.tunnels.wait().await;
}

/// Errors that belong to one connection are passed over at once; those of the process are waited out.
async fn failed(error: &io::Error) {
    use io::ErrorKind as K;
    if !matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::PermissionDenied | K::Interrupted) {
        tracing::warn!(%error, "a connection could not be taken in; trying again");
        tokio::time::sleep(PAUSE).await;
    }
}

fn take_in(
    edge: &Arc<Edge>,
    socket: TcpStream,
    peer: SocketAddr,
    limits: &Limits,
    room: &Arc<Semaphore>,
    connections: &TaskTracker,
    stop: &CancellationToken,
) {
    let Ok(place) = room.clone().try_acquire_owned() else {
        edge.metrics.connections_refused.increment(1);
        connections.spawn(turn_away(socket));
        return;
    };
    connections.spawn(serve_one(edge.clone(), socket, peer, limits.clone(), place, stop.clone()));
}

async fn turn_away(mut socket: TcpStream) {
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.write_all(FULL)).await;
}

/// One connection from its first byte to its last. A place is held until then, tunnels not counted.
async fn serve_one(
    edge: Arc<Edge>,
    socket: TcpStream,
    peer: SocketAddr,
    limits: Limits,
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let _ = socket.set_nodelay(true);
    edge.metrics.connections.increment(1.0);
    let guard = Guard::new(socket, limits.head_bytes, limits.head_timeout.0, edge.metrics.malformed.clone());
    let client = HeaderValue::try_from(peer.ip().to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
    let connection = Arc::new(Connection { client, switch: guard.switch() });
    let (served, metrics) = (edge.clone(), edge.metrics.clone());
    let service = service_fn(move |request| {
        let (edge, connection) = (served.clone(), connection.clone());
        async move { Ok::<_, std::convert::Infallible>(edge.handle(request, &connection).await) }
    });
    let http = builder(&limits).serve_connection(TokioIo::new(guard), service).with_upgrades();
    let mut http = std::pin::pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        () = stop.cancelled() => {
            http.as_mut().graceful_shutdown();
            tokio::select! {
                ended = http.as_mut() => ended,
                () = edge.ending.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection broke");
    }
    metrics.connections.decrement(1.0);
    drop(place);
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout.0).max_header_size(limits.head_bytes);
    if limits.headers != USUAL_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}
