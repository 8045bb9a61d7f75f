//! The real [`Authority`]: EdgeService of the orchestrator over one lazy channel, and the stream of routes that is taken
//! up again, with growing pauses, whenever it breaks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::v1::edge_service_client::EdgeServiceClient;
use api::v1::{CheckSessionRequest, RedeemCodeRequest, ReportActivityRequest, Session, WatchRoutesRequest};
use daemon_kit::bearer::Bearer;
use daemon_kit::secret::Token;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::config::Config;
use crate::error::{AuthorityError, EdgeError};
use crate::metrics::Metrics;
use crate::ports::{Authority, NewSession, TokenHash};
use crate::routes::{Feed, Routes};

type Client = EdgeServiceClient<InterceptedService<Channel, Bearer>>;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The orchestrator, seen from an edge.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    channel: Channel,
    token_file: PathBuf,
    edge_id: String,
}

impl Orchestrator {
    /// Does not connect yet: the orchestrator may come later.
    pub fn new(config: &Config) -> Result<Self, EdgeError> {
        let wrong = |source| EdgeError::Orchestrator { address: config.orchestrator.clone(), source };
        let endpoint = Endpoint::from_shared(config.orchestrator.clone()).map_err(wrong)?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).http2_keep_alive_interval(Duration::from_secs(20));
        let channel = endpoint.keep_alive_timeout(Duration::from_secs(10)).keep_alive_while_idle(true).connect_lazy();
        Ok(Self { channel, token_file: config.token_file.clone(), edge_id: config.edge_id.clone() })
    }

    /// The token is read anew each time, so that changing it needs no restart.
    async fn client(&self) -> Result<Client, AuthorityError> {
        let path = || self.token_file.display().to_string();
        let text = tokio::fs::read_to_string(&self.token_file).await;
        let text = text.map_err(|source| AuthorityError::Token { path: path(), source })?;
        let bearer = Bearer::new(&Token::new(text.trim().to_owned())).ok_or_else(|| AuthorityError::BadToken(path()))?;
        Ok(EdgeServiceClient::with_interceptor(self.channel.clone(), bearer))
    }

    /// Keeps `routes` as the orchestrator tells, for ever; the last table stays while it is away.
    pub async fn follow(self, routes: Arc<Routes>, metrics: Arc<Metrics>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = tokio::time::Instant::now();
            let ended = self.watch(&routes, &metrics).await;
            metrics.routes_stale.set(1.0);
            tracing::warn!(error = %chain(&ended), "the stream of routes ended; going on with the last table");
            // A stream that lasted is no sign of trouble.
            if before.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn watch(&self, routes: &Routes, metrics: &Metrics) -> AuthorityError {
        match self.watch_once(routes, metrics).await {
            Ok(()) => unavailable("send routes")(Status::unavailable("the orchestrator ended the stream")),
            Err(error) => error,
        }
    }

    async fn watch_once(&self, routes: &Routes, metrics: &Metrics) -> Result<(), AuthorityError> {
        let request = WatchRoutesRequest { edge_id: self.edge_id.clone() };
        let answer = self.client().await?.watch_routes(request).await.map_err(unavailable("send routes"))?;
        let (mut stream, mut feed) = (answer.into_inner(), Feed::new(routes));
        while let Some(update) = stream.message().await.map_err(unavailable("send routes"))? {
            feed.take(update);
            metrics.routes.set(routes.len() as f64);
            metrics.routes_stale.set(if routes.is_synced() { 0.0 } else { 1.0 });
        }
        Ok(())
    }
}

fn unavailable(doing: &'static str) -> impl Fn(Status) -> AuthorityError {
    move |status| AuthorityError::Unavailable { doing, source: Box::new(status) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An answer that says "no" by its status is an answer: the orchestrator was asked.
fn word(answer: Result<tonic::Response<Session>, Status>, doing: &'static str) -> Result<Option<Session>, AuthorityError> {
    match answer {
        Ok(session) => Ok(Some(session.into_inner()).filter(|session| session.valid)),
        Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition) => Ok(None),
        Err(status) => Err(unavailable(doing)(status)),
    }
}

/// No answer may keep a visitor waiting longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}

#[tonic::async_trait]
impl Authority for Orchestrator {
    async fn check(&self, workspace_id: &str, token: TokenHash) -> Result<bool, AuthorityError> {
        let request = CheckSessionRequest { token_hash: token.to_hex().to_string(), workspace_id: workspace_id.to_owned() };
        let answer = self.client().await?.check_session(timed(request)).await;
        Ok(word(answer, "check a session")?.is_some())
    }

    async fn redeem(&self, workspace_id: &str, code: &str) -> Result<Option<NewSession>, AuthorityError> {
        let request = RedeemCodeRequest { code: code.to_owned(), workspace_id: workspace_id.to_owned() };
        let answer = self.client().await?.redeem_code(timed(request)).await;
        let session = word(answer, "redeem the code of a link")?;
        Ok(session.map(|session| NewSession { token: session.token, expires_unix_ms: session.expires_unix_ms }))
    }

    async fn report_activity(&self, workspace_ids: Vec<String>) -> Result<(), AuthorityError> {
        let request = timed(ReportActivityRequest { workspace_ids });
        self.client().await?.report_activity(request).await.map(|_| ()).map_err(unavailable("take a report of activity"))
    }
}
