//! A tunnel as something to read from and write to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use api::v1::TunnelFrame;
use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;
use tonic::{Status, Streaming};

use super::Answer;

/// Larger writes are sent in pieces, well below the limit of a gRPC message.
const LARGEST_FRAME: usize = 64 * 1024;

/// Bytes to and from something on a node.
pub struct Tunnel {
    incoming: Streaming<TunnelFrame>,
    outgoing: PollSender<Result<TunnelFrame, Status>>,
    /// Received and not yet read.
    unread: Bytes,
    /// The other side has said that no more comes.
    ended: bool,
    /// This side has.
    closed: bool,
}

impl Tunnel {
    pub(super) fn new(answer: Answer) -> Self {
        Self {
            incoming: answer.incoming,
            outgoing: PollSender::new(answer.outgoing),
            unread: answer.first.data,
            ended: answer.first.eof,
            closed: false,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, frame: TunnelFrame) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_reserve(cx)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Poll::Ready(self.outgoing.send_item(Ok(frame)).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.unread.is_empty() {
                let count = self.unread.len().min(buffer.remaining());
                buffer.put_slice(&self.unread[..count]);
                self.unread.advance(count);
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.incoming.poll_next_unpin(cx)) {
                Some(Ok(frame)) if frame.error.is_empty() => {
                    self.unread = frame.data;
                    self.ended = frame.eof;
                }
                Some(Ok(frame)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, frame.error))),
                Some(Err(status)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, status.message().to_owned())));
                }
                None => self.ended = true,
            }
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = &bytes[..bytes.len().min(LARGEST_FRAME)];
        let frame = TunnelFrame { data: Bytes::copy_from_slice(piece), ..Default::default() };
        ready!(self.poll_send(cx, frame))?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            let frame = TunnelFrame { eof: true, ..Default::default() };
            // A peer that is gone needs no word of it.
            let _ = ready!(self.poll_send(cx, frame));
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// What is left to do when nothing more is to be read: the stream to the node ends with the value.
impl Drop for Tunnel {
    fn drop(&mut self) {
        self.outgoing.close();
    }
}
