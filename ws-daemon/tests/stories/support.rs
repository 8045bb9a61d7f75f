//! A node with fakes, and an orchestrator in the test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::v1::node_service_server::{NodeService, NodeServiceServer};
use api::v1::*;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use ws_daemon::app::{Parts, bind_with};
use ws_daemon::config::Config;
use ws_daemon::fakes::{FakeImages, FakeMachine, FakeNetworks, FakeSandboxes};
use ws_daemon::instances::Instances;

/// Nothing here takes that long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An orchestrator that is never there.
const NOWHERE: &str = "http://127.0.0.1:9";

pub struct TestNode {
    pub machine: Arc<FakeMachine>,
    pub instances: Instances,
    directory: Arc<tempfile::TempDir>,
    orchestrator: String,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl TestNode {
    pub async fn new() -> Self {
        Self::of(NOWHERE).await
    }

    pub async fn of(orchestrator: &str) -> Self {
        let directory = Arc::new(tempfile::Builder::new().prefix("crannog-node-").tempdir().expect("directory"));
        Self::start(directory, FakeMachine::new(), orchestrator.into()).await
    }

    async fn start(directory: Arc<tempfile::TempDir>, machine: Arc<FakeMachine>, orchestrator: String) -> Self {
        let token = directory.path().join("token");
        std::fs::write(&token, "node-token\n").expect("token");
        let config = Config {
            data: directory.path().to_owned(),
            orchestrator: orchestrator.clone(),
            token_file: token,
            usage_interval: daemon_kit::units::HumanDuration(Duration::from_millis(50)),
            ..Config::default()
        };
        let parts = || Parts {
            images: Arc::new(FakeImages(machine.clone())),
            networks: Arc::new(FakeNetworks(machine.clone())),
            sandboxes: Arc::new(FakeSandboxes(machine.clone())),
        };
        // The life before may still be closing its database.
        let bound = within(async {
            loop {
                match bind_with(&config, parts()).await {
                    Ok(bound) => return bound,
                    Err(error) if error.to_string().contains("another daemon") => tokio::task::yield_now().await,
                    Err(error) => panic!("bind: {error}"),
                }
            }
        })
        .await;
        let instances = bound.instances();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            bound.serve(async { drop(stopped.await) }).await.expect("serve");
        });
        Self { machine, instances, directory, orchestrator, stop: Some(stop), served }
    }

    /// The daemon goes, the machine stays; another daemon comes.
    pub async fn restart(mut self) -> Self {
        drop(self.stop.take());
        within(self.served).await.expect("served");
        let (directory, machine, orchestrator) = (self.directory, self.machine, self.orchestrator);
        drop(self.instances);
        Self::start(directory, machine, orchestrator).await
    }

    pub fn data(&self) -> &Path {
        self.directory.path()
    }

    pub fn dial_socket(&self) -> PathBuf {
        self.data().join("node/dial.sock")
    }

    pub fn upper(&self, workspace: &str) -> PathBuf {
        self.data().join("node/workspaces").join(workspace).join("upper")
    }

    /// Waits until the status of an instance is as wanted.
    pub async fn until(&self, id: &str, is_wanted: impl Fn(&InstanceStatus) -> bool) -> InstanceStatus {
        let mut news = self.instances.world().reports.watch();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.instances.world().reports.get(id) {
                    Some(status) if is_wanted(&status) => return status,
                    _ => news.changed().await.expect("the node lives"),
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("still {:#?}", self.instances.world().reports.get(id)))
    }

    pub async fn until_phase(&self, id: &str, phase: Phase) -> InstanceStatus {
        self.until(id, |status| status.phase() == phase).await
    }

    /// Starts an instance and waits until it runs.
    pub async fn running(&self, spec: &InstanceSpec) -> InstanceStatus {
        self.instances.apply(spec.clone()).await.expect("applied");
        self.until_phase(&spec.id, Phase::Running).await
    }

    pub async fn stop(&self, spec: &InstanceSpec) {
        self.instances.stop(stop(spec)).await.expect("stop");
    }

    pub async fn remove(&self, spec: &InstanceSpec, forget: bool) {
        self.instances.remove(remove(spec, forget)).await.expect("remove");
    }

    /// Waits until nothing is left but one instance, and one range of ids.
    pub async fn until_only_is_left(&self, id: &str) {
        let owners = || self.instances.world().ledger.owners().expect("owners");
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.machine.left() != [id] || owners().len() != 1 {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("left: {:?}, {:?}", self.machine.left(), owners()));
    }

    /// Waits until the machine has nothing any more.
    pub async fn until_nothing_is_left(&self) {
        let instances = self.data().join("node/instances");
        let is_left = || !self.machine.left().is_empty() || std::fs::read_dir(&instances).expect("instances").next().is_some();
        let waited = tokio::time::timeout(PATIENCE, async {
            while is_left() {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("left: {:?}", self.machine.left()));
    }
}

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it does not hang")
}

pub fn stop(spec: &InstanceSpec) -> StopInstance {
    StopInstance { id: spec.id.clone(), reason: "asked in a test".into(), grace_ms: 200, conclusion: 0 }
}

pub fn remove(spec: &InstanceSpec, forget: bool) -> RemoveInstance {
    RemoveInstance { id: spec.id.clone(), workspace_id: spec.workspace_id.clone(), forget }
}

/// A spec with ids made of one digit.
pub fn spec(instance: char, workspace: char) -> InstanceSpec {
    InstanceSpec {
        id: instance.to_string().repeat(32),
        workspace_id: workspace.to_string().repeat(32),
        workspace_name: "app".into(),
        kind: Kind::Workspace.into(),
        generation: 1,
        image: "host".into(),
        run_init: true,
        ..InstanceSpec::default()
    }
}

/// A condition of a status.
pub fn condition<'a>(status: &'a InstanceStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|one| one.r#type == kind).unwrap_or_else(|| panic!("no {kind} in {status:#?}"))
}

/// One connection of the node to the orchestrator.
pub struct NodeSession {
    pub up: Streaming<NodeMessage>,
    pub down: mpsc::Sender<Result<OrchestratorMessage, Status>>,
    pub authorization: String,
}

impl NodeSession {
    /// The next message of the node that `pick` takes.
    pub async fn next<T>(&mut self, pick: impl Fn(&NodeMessage) -> Option<T>) -> T {
        within(async {
            loop {
                let message = self.up.message().await.expect("up").expect("the stream goes on");
                if let Some(picked) = pick(&message) {
                    return picked;
                }
            }
        })
        .await
    }

    pub async fn send(&self, sequence: u64, ack: u64, message: orchestrator_message::Message) {
        let message = OrchestratorMessage { sequence, ack, message: Some(message) };
        self.down.send(Ok(message)).await.expect("the node listens");
    }

    pub async fn welcome(&self, resumed: bool) {
        let welcome = Welcome { lease_ms: 10_000, heartbeat_ms: 1_000, resumed, protocol: 1 };
        self.send(0, 0, orchestrator_message::Message::Welcome(welcome)).await;
    }

    pub async fn hello(&mut self) -> NodeHello {
        self.next(|message| match &message.message {
            Some(node_message::Message::Hello(hello)) => Some(hello.clone()),
            _ => None,
        })
        .await
    }

    pub async fn inventory(&mut self) -> (u64, Inventory) {
        self.next(|message| match &message.message {
            Some(node_message::Message::Inventory(inventory)) => Some((message.sequence, inventory.clone())),
            _ => None,
        })
        .await
    }

    pub async fn status(&mut self, id: &str, phase: Phase) -> u64 {
        self.next(|message| match &message.message {
            Some(node_message::Message::Status(status)) if status.id == id && status.phase() == phase => Some(message.sequence),
            _ => None,
        })
        .await
    }

    pub async fn ack(&mut self, at_least: u64) {
        self.next(|message| (message.ack >= at_least).then_some(())).await;
    }
}

/// One tunnel, at the orchestrator's end.
pub struct Tunnel {
    pub first: TunnelFrame,
    pub up: Streaming<TunnelFrame>,
    pub down: mpsc::Sender<Result<TunnelFrame, Status>>,
}

/// The orchestrator's side of `NodeService`.
pub struct Orchestrator {
    pub address: String,
    pub sessions: mpsc::Receiver<NodeSession>,
    pub tunnels: mpsc::Receiver<Tunnel>,
}

struct Service {
    sessions: mpsc::Sender<NodeSession>,
    tunnels: mpsc::Sender<Tunnel>,
    sources: HashMap<String, Vec<u8>>,
}

impl Orchestrator {
    pub async fn new() -> Self {
        Self::with_sources(HashMap::new()).await
    }

    pub async fn with_sources(sources: HashMap<String, Vec<u8>>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = format!("http://{}", listener.local_addr().expect("address"));
        let (sessions, session_receiver) = mpsc::channel(4);
        let (tunnels, tunnel_receiver) = mpsc::channel(64);
        let service = NodeServiceServer::new(Service { sessions, tunnels, sources });
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { address, sessions: session_receiver, tunnels: tunnel_receiver }
    }

    /// The next connection of the node.
    pub async fn session(&mut self) -> NodeSession {
        within(self.sessions.recv()).await.expect("a session")
    }

    /// The next connection, greeted.
    pub async fn greeted(&mut self) -> NodeSession {
        let mut session = self.session().await;
        session.hello().await;
        session.welcome(false).await;
        session
    }

    pub async fn tunnel(&mut self) -> Tunnel {
        within(self.tunnels.recv()).await.expect("a tunnel")
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl NodeService for Service {
    type StreamStream = Answers<OrchestratorMessage>;
    type TunnelStream = Answers<TunnelFrame>;
    type FetchSourceStream = Answers<FetchSourceResponse>;

    async fn stream(&self, request: Request<Streaming<NodeMessage>>) -> Result<Response<Self::StreamStream>, Status> {
        let authorization =
            request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (down, answers) = mpsc::channel(64);
        let _ = self.sessions.send(NodeSession { up: request.into_inner(), down, authorization }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn tunnel(&self, request: Request<Streaming<TunnelFrame>>) -> Result<Response<Self::TunnelStream>, Status> {
        let mut up = request.into_inner();
        let first = up.message().await?.ok_or_else(|| Status::invalid_argument("no frame"))?;
        let (down, answers) = mpsc::channel(4);
        let _ = self.tunnels.send(Tunnel { first, up, down }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn fetch_source(&self, request: Request<FetchSourceRequest>) -> Result<Response<Self::FetchSourceStream>, Status> {
        let request = request.into_inner();
        let source = self.sources.get(&request.digest).ok_or_else(|| Status::not_found("no such source"))?;
        let size = source.len() as u64;
        let rest = source[request.offset as usize..].to_vec();
        let pieces: Vec<_> =
            rest.chunks(1_000).map(|data| Ok(FetchSourceResponse { data: data.to_vec().into(), size })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces).map(|piece| piece))))
    }
}
