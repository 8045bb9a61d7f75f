//! Connections into workspaces: HTTP/1.1 over dialled sockets, kept alive per instance and port. The pool's key is the
//! instance id, which no two starts share, so a connection can never lead into another workspace.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::admission::Admitted;
use crate::body::Passing;
use crate::config;
use crate::error::DialFailure;
use crate::metrics::Metrics;
use crate::ports::Dialer;
use crate::refusal::Refusal;
use crate::routes::Routes;

/// How much of an answer may wait in memory because its reader is slow.
const BUFFER: usize = 128 * 1024;

/// All connections into workspaces.
#[derive(Clone)]
pub struct Upstream {
    client: Client<Connector, Passing>,
    settings: config::Upstream,
}

impl Upstream {
    /// Dials by `dialer` what `routes` knows.
    pub fn new(dialer: Arc<dyn Dialer>, routes: Arc<Routes>, metrics: Arc<Metrics>, settings: config::Upstream) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(settings.idle_timeout.0)
            .pool_max_idle_per_host(settings.idle_connections)
            .http1_max_buf_size(BUFFER)
            .set_host(false)
            .build(Connector { dialer, routes, metrics });
        Self { client, settings }
    }

    /// Sends a request on and waits for the head of its answer.
    pub async fn send(&self, admitted: &Admitted, mut request: Request<Passing>) -> Result<Response<Incoming>, Refusal> {
        *request.uri_mut() =
            target(admitted, request.uri()).ok_or(Refusal::Malformed("The target of the request is not a path."))?;
        let answer = tokio::time::timeout(self.settings.answer_timeout.0, self.client.request(request));
        let answer = tokio::select! {
            biased;
            () = admitted.until().cancelled() => return Err(Refusal::InstanceGone(admitted.route().name.clone())),
            answer = answer => answer,
        };
        match answer {
            Err(_) => Err(Refusal::NoAnswer(admitted.port())),
            Ok(answer) => answer.map_err(|error| refusal(&error, admitted)),
        }
    }
}

/// `http://INSTANCE:PORT/path`: the key of the pool, and what the connector dials. It is sent on as `/path`.
fn target(admitted: &Admitted, uri: &Uri) -> Option<Uri> {
    let authority = format!("{}:{}", admitted.route().instance_id, admitted.port());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(authority).ok()?);
    parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

fn refusal(error: &ClientError, admitted: &Admitted) -> Refusal {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    match causes.into_iter().find_map(|cause| cause.downcast_ref::<DialFailure>()) {
        Some(failure) => Refusal::of_dial(failure, &admitted.route().name),
        None => {
            tracing::debug!(?error, workspace = admitted.route().workspace_id, port = admitted.port(), "no good answer");
            Refusal::BadAnswer(admitted.port())
        }
    }
}

/// Turns a key of the pool into a socket.
#[derive(Clone)]
struct Connector {
    dialer: Arc<dyn Dialer>,
    routes: Arc<Routes>,
    metrics: Arc<Metrics>,
}

impl Connector {
    async fn dial(self, instance: String, port: u16) -> Result<TokioIo<TcpStream>, DialFailure> {
        let route = self.routes.of_instance(&instance).ok_or_else(|| DialFailure::NotRunning("it has ended".to_owned()))?;
        let begun = Instant::now();
        let dialled = self.dialer.dial(&route, port).await;
        self.metrics.dial_seconds.record(begun.elapsed());
        if let Err(error) = &dialled {
            self.metrics.dial_failures.increment(1);
            tracing::debug!(?error, workspace = route.workspace_id, port, "no socket into the instance");
        }
        dialled.map(TokioIo::new)
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = DialFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (instance, port) = (uri.host().unwrap_or_default().to_owned(), uri.port_u16().unwrap_or_default());
        Box::pin(self.clone().dial(instance, port))
    }
}
