//! An edge with all that it needs around it: one workspace "app" with instance "i1", port 3000 private and 8080 public.

use std::net::SocketAddr;

use api::v1::{Phase, PortStatus, Route, Visibility};
use ide_proxy::config::{Config, DEFAULTS};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Answer, Client};
use crate::node::Node;
use crate::orchestrator::{EDGE_TOKEN, Orchestrator};

/// The workspace of most stories.
pub const WORKSPACE: &str = "0123456789abcdef0123456789abcdef";
/// A good session for it.
pub const TOKEN: &str = "a-good-session-token";

pub struct World {
    pub orchestrator: Orchestrator,
    pub node: Node,
    pub address: SocketAddr,
    pub edge: JoinHandle<std::io::Result<()>>,
    pub stop: Option<oneshot::Sender<()>>,
    directory: TempDir,
}

impl World {
    /// The usual one.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With some settings of its own.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let (orchestrator, node) = (Orchestrator::default(), Node::default());
        node.serve(&directory.path().join("dial.sock"));
        orchestrator.put(route(&directory, WORKSPACE, "app", "i1"));
        orchestrator.allow(WORKSPACE, TOKEN);
        let orchestrator_address = orchestrator.serve().await;
        let config = config(&directory, orchestrator_address, settings);
        let bound = ide_proxy::app::bind(&config).await.expect("bind");
        let (address, routes) = (bound.address().expect("address"), bound.routes());
        let (stop, stopped) = oneshot::channel::<()>();
        let edge = tokio::spawn(bound.serve(async { drop(stopped.await) }));
        let mut changes = routes.changes();
        while !routes.is_synced() {
            changes.changed().await.expect("a table");
        }
        Self { orchestrator, node, address, edge, stop: Some(stop), directory }
    }

    /// A further workspace, in state.
    pub fn add(&self, id: &str, name: &str, instance: &str) {
        self.orchestrator.put(route(&self.directory, id, name, instance));
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends one request as written, and reads its answer.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    /// A GET with some headers of its own.
    pub async fn get(&self, host: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")).await
    }

    /// Waits until the edge knows what was told to it: a marker that is told later has arrived.
    pub async fn settled(&self) {
        let marker = format!("m{:x}", rand::random::<u64>());
        self.add(&marker, &marker, "");
        while self.get(&format!("1-{marker}.localhost"), "/", &[]).await.status == 404 {}
    }
}

/// The header of the owner's session, for programs.
pub fn token_header() -> String {
    format!("x-crannog-token: {TOKEN}")
}

/// The cookie of the owner's session, for browsers.
pub fn cookie() -> String {
    format!("Cookie: __Host-crannog-session={TOKEN}")
}

fn route(directory: &TempDir, id: &str, name: &str, instance: &str) -> Route {
    let port = |port, visibility: Visibility| PortStatus { port, visibility: visibility.into(), ..Default::default() };
    Route {
        workspace_id: id.to_owned(),
        name: name.to_owned(),
        instance_id: instance.to_owned(),
        phase: if instance.is_empty() { Phase::Stopped } else { Phase::Running }.into(),
        generation: 1,
        ports: vec![port(3000, Visibility::Private), port(8080, Visibility::Public)],
        dial_socket: directory.path().join("dial.sock").display().to_string(),
        ..Default::default()
    }
}

fn config(directory: &TempDir, orchestrator: SocketAddr, settings: &[(&str, &str)]) -> Config {
    let token_file = directory.path().join("edge.token");
    std::fs::write(&token_file, format!("{EDGE_TOKEN}\n")).expect("token");
    let own = [
        ("listen", "127.0.0.1:0".to_owned()),
        ("orchestrator", format!("http://{orchestrator}")),
        ("token_file", token_file.display().to_string()),
    ];
    let all: Vec<_> = own.into_iter().chain(settings.iter().map(|(key, value)| (*key, (*value).to_owned()))).collect();
    daemon_kit::config::load(DEFAULTS, None, "EDGE_STORY_UNUSED_", &all).expect("a configuration")
}
