//! Bodies on their way through: frame by frame, never gathered. Each frame marks its workspace as used; when the route
//! that let a stream in is taken back, the stream breaks off, visibly incomplete.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side broke off or broke the rules.
    #[error("read the rest of a body")]
    Read(#[source] hyper::Error),
    /// The route was taken back.
    #[error("the way to this port was closed")]
    TornDown,
}

/// A body that passes through.
#[derive(Debug)]
pub struct Passing {
    inner: Incoming,
    until: CancellationToken,
    /// Made only when a body has to wait: most never do.
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    used: Arc<AtomicBool>,
    strip: fn(&mut HeaderMap),
}

impl Passing {
    /// Passes `inner` on until `until`; `strip` cleans trailers.
    pub fn new(inner: Incoming, until: CancellationToken, used: Arc<AtomicBool>, strip: fn(&mut HeaderMap)) -> Self {
        Self { inner, until, waiting: None, used, strip }
    }

    fn poll_torn_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = &self.until;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(until.clone().cancelled_owned()));
        waiting.as_mut().poll(cx)
    }
}

/// Marks a workspace as used; reads first, because writing would make all cores fetch the line anew.
pub fn mark(used: &AtomicBool) {
    if !used.load(Ordering::Relaxed) {
        used.store(true, Ordering::Relaxed);
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.until.is_cancelled() {
            return Poll::Ready(Some(Err(BodyError::TornDown)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            ready!(this.poll_torn_down(cx));
            return Poll::Ready(Some(Err(BodyError::TornDown)));
        };
        mark(&this.used);
        Poll::Ready(frame.map(|frame| {
            let mut frame = frame.map_err(BodyError::Read)?;
            if let Some(trailers) = frame.trailers_mut() {
                (this.strip)(trailers);
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum EdgeBody {
    /// Ours.
    Own(Full<Bytes>),
    /// A workspace's.
    Passing(Passing),
}

impl EdgeBody {
    /// One of ours.
    pub fn own(bytes: Bytes) -> Self {
        Self::Own(Full::new(bytes))
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passing(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passing(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passing(body) => body.size_hint(),
        }
    }
}
