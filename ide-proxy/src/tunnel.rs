//! Bytes of another protocol, WebSocket mostly, both ways until one side ends. A tunnel that waits holds no buffer: bytes
//! are read into one that belongs to the thread, and only what cannot be written at once is kept.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use crate::admission::Admitted;
use crate::body::mark;
use crate::metrics::Metrics;
use crate::wire::guard::Guard;

const BUFFER: usize = 32 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// Runs one tunnel to its end: a side that closes, a route that is taken back, or the end of the edge.
pub async fn run(admitted: Admitted, client: OnUpgrade, workspace: OnUpgrade, ending: CancellationToken, metrics: Arc<Metrics>) {
    let (Ok(client), Ok(workspace)) = tokio::join!(client, workspace) else { return };
    let (Some(client), Some(workspace)) = (client_socket(client), workspace_socket(workspace)) else { return };
    metrics.tunnels.increment(1.0);
    tokio::select! {
        biased;
        () = admitted.until().cancelled() => metrics.torn_down.increment(1),
        () = ending.cancelled() => {}
        ended = splice(client, workspace, &admitted) => {
            if let Err(error) = ended {
                tracing::trace!(%error, "a tunnel broke");
            }
        }
    }
    metrics.tunnels.decrement(1.0);
}

/// A socket, and what hyper had read of the new protocol already.
type Taken = (TcpStream, bytes::Bytes);

fn client_socket(upgraded: Upgraded) -> Option<Taken> {
    let parts = upgraded.downcast::<TokioIo<Guard>>().ok()?;
    Some((parts.io.into_inner().into_socket()?, parts.read_buf))
}

fn workspace_socket(upgraded: Upgraded) -> Option<Taken> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

async fn splice(client: Taken, workspace: Taken, admitted: &Admitted) -> io::Result<()> {
    let ((mut client, from_client), (mut workspace, from_workspace)) = (client, workspace);
    client.write_all(&from_workspace).await?;
    workspace.write_all(&from_client).await?;
    // They hold the whole buffers that hyper read the heads into.
    drop((from_client, from_workspace));
    let (client_read, client_write) = client.split();
    let (workspace_read, workspace_write) = workspace.split();
    let up = pump(client_read, workspace_write, admitted);
    let down = pump(workspace_read, client_write, admitted);
    tokio::try_join!(up, down).map(|_| ())
}

/// Moves bytes one way until their end, which is passed on as such.
async fn pump(from: ReadHalf<'_>, mut to: WriteHalf<'_>, admitted: &Admitted) -> io::Result<()> {
    loop {
        from.readable().await?;
        match once(&from, &to) {
            Ok(Moved::End) => return to.shutdown().await,
            Ok(Moved::All) => {}
            Ok(Moved::But(rest)) => to.write_all(&rest).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        mark(admitted.route().used());
    }
}

enum Moved {
    /// There is nothing more to come.
    End,
    /// What was read is written.
    All,
    /// This much could not be written at once.
    But(Vec<u8>),
}

fn once(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<Moved> {
    SCRATCH.with_borrow_mut(|scratch| {
        let read = from.try_read(scratch)?;
        if read == 0 {
            return Ok(Moved::End);
        }
        let written = match to.try_write(&scratch[..read]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        Ok(if written == read { Moved::All } else { Moved::But(scratch[written..read].to_vec()) })
    })
}
