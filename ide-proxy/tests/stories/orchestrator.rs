//! The orchestrator as the edge sees it: routes, sessions, one-time codes, and what it was told.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use api::v1::edge_service_server::{EdgeService, EdgeServiceServer};
use api::v1::route_update::Update;
use api::v1::{
    CheckSessionRequest, RedeemCodeRequest, ReportActivityRequest, ReportActivityResponse, Route, RouteUpdate, Session,
    WatchRoutesRequest,
};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status};

/// What the edge must show to be believed.
pub const EDGE_TOKEN: &str = "edge-token";

#[derive(Default)]
struct State {
    routes: HashMap<String, Route>,
    watchers: Vec<mpsc::UnboundedSender<Result<RouteUpdate, Status>>>,
    /// (workspace id, hash of the token as hex).
    sessions: HashSet<(String, String)>,
    /// Code to (workspace id, token).
    codes: HashMap<String, (String, String)>,
    checks: usize,
    away: bool,
    active: Vec<String>,
}

/// Shared with the service that answers the edge.
#[derive(Clone, Default)]
pub struct Orchestrator(Arc<Mutex<State>>);

impl Orchestrator {
    /// Serves on a port of its own.
    pub async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let service = EdgeServiceServer::new(self.clone());
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        address
    }

    /// Sets a route and tells it.
    pub fn put(&self, route: Route) {
        let mut state = self.0.lock().expect("state");
        state.routes.insert(route.workspace_id.clone(), route.clone());
        state.tell(Update::Route(route));
    }

    /// Changes a route, which gets a new generation, and tells it.
    pub fn change(&self, workspace_id: &str, change: impl FnOnce(&mut Route)) {
        let mut route = self.0.lock().expect("state").routes[workspace_id].clone();
        route.generation += 1;
        change(&mut route);
        self.put(route);
    }

    /// Makes a session good.
    pub fn allow(&self, workspace_id: &str, token: &str) {
        let hash = blake3::hash(token.as_bytes()).to_hex().to_string();
        self.0.lock().expect("state").sessions.insert((workspace_id.to_owned(), hash));
    }

    /// Makes a one-time code.
    pub fn code(&self, code: &str, workspace_id: &str, token: &str) {
        self.0.lock().expect("state").codes.insert(code.to_owned(), (workspace_id.to_owned(), token.to_owned()));
    }

    /// How often a session was asked about.
    pub fn checks(&self) -> usize {
        self.0.lock().expect("state").checks
    }

    /// Which workspaces were reported as active so far.
    pub fn active(&self) -> Vec<String> {
        self.0.lock().expect("state").active.clone()
    }

    /// Goes away, or comes back: ends all streams, and answers nothing while it is away.
    pub fn set_away(&self, away: bool) {
        let mut state = self.0.lock().expect("state");
        state.away = away;
        state.watchers.clear();
    }

    fn authorized<T>(&self, request: Request<T>) -> Result<T, Status> {
        if self.0.lock().expect("state").away {
            return Err(Status::unavailable("away"));
        }
        let sent = request.metadata().get("authorization").map(|value| value.as_bytes());
        let known = sent == Some(format!("Bearer {EDGE_TOKEN}").as_bytes());
        if known { Ok(request.into_inner()) } else { Err(Status::unauthenticated("edge token")) }
    }
}

impl State {
    fn tell(&mut self, update: Update) {
        self.watchers.retain(|watcher| watcher.send(Ok(RouteUpdate { update: Some(update.clone()) })).is_ok());
    }
}

#[tonic::async_trait]
impl EdgeService for Orchestrator {
    type WatchRoutesStream = BoxStream<'static, Result<RouteUpdate, Status>>;

    async fn watch_routes(&self, request: Request<WatchRoutesRequest>) -> Result<Response<Self::WatchRoutesStream>, Status> {
        self.authorized(request)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.0.lock().expect("state");
        let routes = state.routes.values().cloned().map(Update::Route).chain([Update::Synced(true)]);
        routes.for_each(|update| sender.send(Ok(RouteUpdate { update: Some(update) })).expect("the receiver is here"));
        state.watchers.push(sender);
        Ok(Response::new(UnboundedReceiverStream::new(receiver).boxed()))
    }

    async fn redeem_code(&self, request: Request<RedeemCodeRequest>) -> Result<Response<Session>, Status> {
        let request = self.authorized(request)?;
        let redeemed = self.0.lock().expect("state").codes.remove(&request.code);
        match redeemed {
            Some((workspace_id, token)) if workspace_id == request.workspace_id => {
                self.allow(&workspace_id, &token);
                Ok(Response::new(Session { valid: true, token, expires_unix_ms: 4_000_000_000_000, ..Default::default() }))
            }
            _ => Err(Status::not_found("no such code")),
        }
    }

    async fn check_session(&self, request: Request<CheckSessionRequest>) -> Result<Response<Session>, Status> {
        let request = self.authorized(request)?;
        let mut state = self.0.lock().expect("state");
        state.checks += 1;
        let valid = state.sessions.contains(&(request.workspace_id, request.token_hash));
        Ok(Response::new(Session { valid, ..Default::default() }))
    }

    async fn report_activity(&self, request: Request<ReportActivityRequest>) -> Result<Response<ReportActivityResponse>, Status> {
        let request = self.authorized(request)?;
        self.0.lock().expect("state").active.extend(request.workspace_ids);
        Ok(Response::new(ReportActivityResponse {}))
    }
}
