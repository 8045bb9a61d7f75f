//! The socket of a client with the judge in front of it: what hyper reads has been judged. Also where a head that comes
//! too slowly is cut off, and where bytes stop while a request for another protocol is being answered.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::Judge;

/// How the handler of a request tells the guard what became of a wish for another protocol.
#[derive(Debug, Default)]
pub struct Switch {
    answer: AtomicU8,
    waker: AtomicWaker,
}

const UNANSWERED: u8 = 0;
const STAYS_HTTP: u8 = 1;
const TUNNEL: u8 = 2;

impl Switch {
    /// The answer is known; only a 101 makes a tunnel.
    pub fn answer(&self, tunnel: bool) {
        self.answer.store(if tunnel { TUNNEL } else { STAYS_HTTP }, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        self.waker.register(cx.waker());
        match self.answer.swap(UNANSWERED, Ordering::AcqRel) {
            UNANSWERED => Poll::Pending,
            answer => Poll::Ready(answer == TUNNEL),
        }
    }
}

/// A judged socket.
#[derive(Debug)]
pub struct Guard {
    socket: TcpStream,
    judge: Judge,
    switch: Arc<Switch>,
    head_timeout: Duration,
    /// Only while a head has begun and is not whole, which for most requests is never.
    deadline: Option<Pin<Box<Sleep>>>,
    refused: Counter,
}

impl Guard {
    /// Puts a judge before a socket; `refused` counts what it refuses.
    pub fn new(socket: TcpStream, max_head: usize, head_timeout: Duration, refused: Counter) -> Self {
        Self { socket, judge: Judge::new(max_head), switch: Arc::default(), head_timeout, deadline: None, refused }
    }

    /// For the handlers of this connection.
    pub fn switch(&self) -> Arc<Switch> {
        self.switch.clone()
    }

    /// The socket alone, for a tunnel; `None` when bytes were refused that came too early for it.
    pub fn into_socket(self) -> Option<TcpStream> {
        (!self.judge.is_poisoned()).then_some(self.socket)
    }

    fn judge(&mut self, bytes: &mut [u8]) {
        if let Err(violation) = self.judge.inspect(bytes) {
            self.refused.increment(1);
            tracing::debug!(why = violation.0, "request refused");
        }
        if !self.judge.in_head() {
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.head_timeout)));
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.deadline {
            Some(deadline) => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request came too slowly")))
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.judge.holds() {
            let tunnel = ready!(this.switch.poll(cx));
            this.judge.answered(tunnel);
        }
        if this.judge.is_poisoned() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "what came before was refused")));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buf) {
            Poll::Pending => return this.poll_deadline(cx),
            Poll::Ready(result) => result?,
        }
        this.judge(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
