//! An orchestrator on a port and a directory of its own, with a client for each role.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::v1::edge_service_client::EdgeServiceClient;
use api::v1::workspace_service_client::WorkspaceServiceClient;
use api::v1::*;
use daemon_kit::bearer::Bearer;
use daemon_kit::secret::Token;
use orchestrator::config::{Config, DEFAULTS};
use orchestrator::tokens::Tokens;
use tokio::sync::oneshot;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::clock::TestClock;
use crate::fake_node::FakeNode;

/// Nothing in these stories takes as long, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Authorized = InterceptedService<Channel, Bearer>;

/// Ends the orchestrator, and tells when it has ended.
type Serving = (oneshot::Sender<()>, tokio::task::JoinHandle<anyhow::Result<()>>);

pub struct World {
    pub clock: Arc<TestClock>,
    pub tokens: Tokens,
    pub address: std::net::SocketAddr,
    pub config: Config,
    pub directory: Arc<tempfile::TempDir>,
    serving: Mutex<Option<Serving>>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("directory"));
        let mut config: Config = daemon_kit::config::load(DEFAULTS, None, "CRANNOG_NO_SUCH_PREFIX_", &[]).expect("defaults");
        config.listen = "127.0.0.1:0".parse().expect("address");
        config.data = directory.path().join("data");
        change(&mut config);
        Self::open(config, directory, Arc::default()).await
    }

    async fn open(config: Config, directory: Arc<tempfile::TempDir>, clock: Arc<TestClock>) -> Self {
        let bound = orchestrator::app::bind_with(&config, clock.clone()).await.expect("bind");
        let (tokens, address) = (bound.tokens().clone(), bound.address());
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(bound.serve(async { drop(ended.await) }));
        Self { clock, tokens, address, config, directory, serving: Mutex::new(Some((end, serving))) }
    }

    /// Ends the orchestrator and starts it again on what it left.
    pub async fn restarted(self) -> Self {
        self.stop().await;
        Self::open(self.config.clone(), self.directory.clone(), self.clock.clone()).await
    }

    pub async fn stop(&self) {
        let taken = self.serving.lock().expect("lock").take();
        let (end, serving) = taken.expect("it was serving");
        let _ = end.send(());
        tokio::time::timeout(PATIENCE, serving).await.expect("it ends").expect("no panic").expect("served");
    }

    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).expect("uri").connect().await.expect("connect")
    }

    pub async fn people(&self) -> WorkspaceServiceClient<Authorized> {
        WorkspaceServiceClient::with_interceptor(self.channel().await, bearer(&self.tokens.owner))
    }

    pub async fn edge(&self) -> EdgeServiceClient<Authorized> {
        EdgeServiceClient::with_interceptor(self.channel().await, bearer(&self.tokens.edge))
    }

    /// A node that is connected and has told what it has: nothing.
    pub async fn node(&self, id: &str) -> FakeNode {
        let node = FakeNode::new(id);
        node.connect(self).await;
        self.has_event("node.connected").await;
        node
    }

    pub async fn create(&self, name: &str) -> Workspace {
        self.create_request(request(name)).await.expect("create")
    }

    pub async fn create_request(&self, request: CreateWorkspaceRequest) -> Result<Workspace, tonic::Status> {
        Ok(self.people().await.create_workspace(request).await?.into_inner())
    }

    pub async fn get(&self, workspace: &str) -> Result<Workspace, tonic::Status> {
        Ok(self.people().await.get_workspace(GetWorkspaceRequest { workspace: workspace.into() }).await?.into_inner())
    }

    /// Watches until a state is as wanted; says what the last one was when it never is.
    pub async fn until(&self, workspace: &str, wanted: impl Fn(&Workspace) -> bool) -> Workspace {
        let request = WatchWorkspacesRequest { workspace: workspace.into() };
        let mut states = self.people().await.watch_workspaces(request).await.expect("watch").into_inner();
        let last = Mutex::new(None);
        let waiting = async {
            loop {
                let state = states.message().await.expect("state").expect("it goes on");
                if wanted(&state) {
                    return state;
                }
                *last.lock().expect("lock") = Some(state);
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("still {:?}", last.lock().expect("lock")))
    }

    pub async fn running(&self, workspace: &str) -> Workspace {
        self.until(workspace, |state| state.phase() == Phase::Running).await
    }

    pub async fn stopped(&self, workspace: &str) -> Workspace {
        self.until(workspace, |state| state.phase() == Phase::Stopped).await
    }

    pub async fn start_again(&self, workspace: &str) -> Result<Workspace, tonic::Status> {
        let request = StartWorkspaceRequest { workspace: workspace.into(), ..Default::default() };
        Ok(self.people().await.start_workspace(request).await?.into_inner())
    }

    pub async fn stop_workspace(&self, workspace: &str) -> Result<Workspace, tonic::Status> {
        let request = StopWorkspaceRequest { workspace: workspace.into(), ..Default::default() };
        Ok(self.people().await.stop_workspace(request).await?.into_inner())
    }

    pub async fn delete(&self, workspace: &str) -> Result<(), tonic::Status> {
        let request = DeleteWorkspaceRequest { workspace: workspace.into(), ..Default::default() };
        self.people().await.delete_workspace(request).await.map(|_| ())
    }

    /// All events so far.
    pub async fn events(&self) -> Vec<Event> {
        let mut events = self.people().await.events(EventsRequest::default()).await.expect("events").into_inner();
        let mut all = Vec::new();
        while let Some(event) = events.message().await.expect("event") {
            all.push(event);
        }
        all
    }

    /// Waits for an event of a kind.
    pub async fn has_event(&self, kind: &str) -> Event {
        let mut events =
            self.people().await.events(EventsRequest { follow: true, ..Default::default() }).await.expect("events").into_inner();
        let find = async {
            loop {
                let event = events.message().await.expect("event").expect("it goes on");
                if event.kind == kind {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("no event {kind}"))
    }
}

pub fn bearer(token: &Token) -> Bearer {
    Bearer::new(token).expect("a token is a header")
}

pub fn request(name: &str) -> CreateWorkspaceRequest {
    let source = Source { url: "https://git.example.org/team/App.git".into(), ..Default::default() };
    CreateWorkspaceRequest { name: name.into(), source: Some(source), ..Default::default() }
}

/// The class and the hint of an error.
pub fn detail(status: &tonic::Status) -> (String, String) {
    let detail = daemon_kit::status::detail_of(status);
    (detail.class, detail.hint)
}
