//! The path of a request: is it one, whose is it, may it pass, is there somebody to answer; then on to the workspace.
//! Everything before [`forward`] decides by the head alone.

mod forward;
mod login;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Admitted};
use crate::body::EdgeBody;
use crate::config::{Config, Scheme};
use crate::host;
use crate::metrics::Metrics;
use crate::pages::{self, Form};
use crate::ports::SharedAuthority;
use crate::refusal::Refusal;
use crate::routes::{Route, Routes};
use crate::upstream::Upstream;
use crate::wire::guard::Switch;

/// Paths below this are the edge's own, on every host.
const OWN_PATHS: &str = "/_crannog/";

/// What every request needs.
pub struct Edge {
    pub(crate) routes: Arc<Routes>,
    pub(crate) admission: Admission,
    pub(crate) authority: SharedAuthority,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) suffix: String,
    pub(crate) scheme: Scheme,
    pub(crate) wait: Duration,
    pub(crate) page_wait: Duration,
    pub(crate) tunnels: TaskTracker,
    pub(crate) ending: CancellationToken,
}

/// What is known of the client's connection.
pub struct Connection {
    /// Its address, as a header has it.
    pub client: HeaderValue,
    /// Answers to wishes for another protocol.
    pub switch: Arc<Switch>,
}

impl Edge {
    /// Puts the parts together.
    pub fn new(
        config: &Config,
        routes: Arc<Routes>,
        admission: Admission,
        authority: SharedAuthority,
        upstream: Upstream,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            routes,
            admission,
            authority,
            upstream,
            metrics,
            suffix: config.suffix.clone(),
            scheme: config.scheme,
            wait: config.start.wait.0,
            page_wait: config.start.page_wait.0,
            tunnels: TaskTracker::new(),
            ending: CancellationToken::new(),
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>, connection: &Connection) -> Response<EdgeBody> {
        self.metrics.requests.increment(1);
        let form = Form::of(request.headers());
        let mut held = request.headers().contains_key(header::UPGRADE).then(|| Held(&connection.switch));
        let answer = self.answer(request, connection).await;
        if let (Some(held), true) = (held.take(), answer.as_ref().is_ok_and(is_switch)) {
            held.tunnel();
        }
        answer.unwrap_or_else(|refusal| self.refuse(refusal, form))
    }

    fn refuse(&self, refusal: Refusal, form: Form) -> Response<EdgeBody> {
        self.metrics.own_answers.increment(1);
        let notice = refusal.notice();
        let request_id = format!("{:016x}", rand::random::<u64>());
        if notice.status.is_server_error() {
            tracing::info!(
                request_id,
                status = notice.status.as_u16(),
                reason = notice.reason,
                why = notice.message,
                "answered by the edge"
            );
        }
        pages::render(&notice, form, &request_id)
    }

    async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Result<Response<EdgeBody>, Refusal> {
        let (head, body) = request.into_parts();
        check(&head)?;
        let host = host::of(&head.uri, &head.headers).map_err(Refusal::Host)?;
        let named = host::parse(host, &self.suffix).map_err(Refusal::Host)?;
        if head.uri.path().starts_with(OWN_PATHS) {
            return login::answer(self, &head, self.route(&named.name)?, named.port).await;
        }
        let admitted = self.admit(&head, host, &named.name, named.port).await?;
        forward::forward(self, admitted, Request::from_parts(head, body), connection).await
    }

    /// Lets a request in, and waits with it while the workspace starts. What was decided is decided anew after each
    /// change: a route that starts is not the one that runs.
    async fn admit(&self, head: &Parts, host: &str, name: &str, port: u16) -> Result<Admitted, Refusal> {
        let mut changes = self.routes.changes();
        let mut deadline = None;
        loop {
            changes.borrow_and_update();
            let admitted = self.admission.admit(self.route(name)?, port, head, host).await;
            let admitted = admitted.inspect_err(|_| self.metrics.not_admitted.increment(1))?;
            let route = admitted.route();
            if route.runs() {
                return Ok(admitted);
            }
            if !route.is_starting() {
                return Err(Refusal::Stopped(route.clone()));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience(head));
            if !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return Err(Refusal::Starting(route.clone()));
            }
        }
    }

    fn route(&self, name: &str) -> Result<Arc<Route>, Refusal> {
        let unknown = || if self.routes.is_synced() { Refusal::NoSuchWorkspace(name.to_owned()) } else { Refusal::NoTable };
        self.routes.named(name).ok_or_else(unknown)
    }

    fn patience(&self, head: &Parts) -> Duration {
        let page = head.method == Method::GET && Form::of(&head.headers) == Form::Html;
        if page { self.page_wait } else { self.wait }
    }
}

/// What no request to a workspace has. hyper and the judge before it have refused what is not HTTP.
fn check(head: &Parts) -> Result<(), Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::Method);
    }
    match head.headers.get(header::EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Refusal::Expectation),
        _ => Ok(()),
    }
}

fn is_switch(response: &Response<EdgeBody>) -> bool {
    response.status() == http::StatusCode::SWITCHING_PROTOCOLS
}

/// A wish for another protocol that is not answered yet. However the handler ends, the connection goes on.
struct Held<'a>(&'a Switch);

impl Held<'_> {
    fn tunnel(self) {
        self.0.answer(true);
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.answer(false);
    }
}
