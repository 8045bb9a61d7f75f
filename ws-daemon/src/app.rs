//! Puts the parts together: the only module that names concrete ones.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::v1::node_local_service_server::NodeLocalServiceServer;
use api::v1::{NodeHello, Resources};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::config::Config;
use crate::content_layer::NodeLocalContent;
use crate::dial::DialServer;
use crate::error::NodeError;
use crate::heartbeat;
use crate::images::NodeImages;
use crate::instances::Instances;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::logs::LogSpool;
use crate::network::{NetworkSettings, VethNetworks};
use crate::node_stream::{NodeStream, PROTOCOL};
use crate::orchestrator::Orchestrator;
use crate::ports::{Images, Networks, Sandboxes};
use crate::reports::Reports;
use crate::resolve::Resolver;
use crate::sandbox::{SandboxConfig, Sandboxer};
use crate::service::node_local::NodeLocal;
use crate::sources::RemoteSources;
use crate::store::Store;
use crate::tunnels::Tunnels;
use crate::world::{Limits, World};

/// What an instance is made of on this machine; tests put fakes here.
pub struct Parts {
    /// Where images come from.
    pub images: Arc<dyn Images>,
    /// Where networks come from.
    pub networks: Arc<dyn Networks>,
    /// Where containers come from.
    pub sandboxes: Arc<dyn Sandboxes>,
}

/// A node that has opened everything it needs, and does nothing yet.
pub struct Bound {
    instances: Instances,
    resolver: Resolver,
    orchestrator: Orchestrator,
    dial: DialServer,
    hello: NodeHello,
    config: Config,
}

/// Opens what the node needs, with the real parts. The orchestrator need not be there yet.
pub async fn bind(config: &Config) -> Result<Bound, NodeError> {
    let layout = Layout::open(&config.node_dir())?;
    // Opened before the parts: a second daemon on the directory is refused before it touches anything.
    let store = Store::open(&layout.database())?;
    let parts = real_parts(config, &layout, &store).await?;
    assemble(config, layout, store, parts).await
}

/// Opens what the node needs, with parts that are given.
pub async fn bind_with(config: &Config, parts: Parts) -> Result<Bound, NodeError> {
    let layout = Layout::open(&config.node_dir())?;
    let store = Store::open(&layout.database())?;
    assemble(config, layout, store, parts).await
}

async fn real_parts(config: &Config, layout: &Layout, store: &Store) -> Result<Parts, NodeError> {
    let mut sandbox = SandboxConfig::new(layout.root(), config.supervisor_path()?);
    sandbox.cgroup_parent = format!("crannog/{}", store.scope()?);
    let hidden = std::mem::take(&mut sandbox.host.hide);
    sandbox.host = config.host.clone();
    sandbox.host.hide.extend(hidden);
    sandbox.host.hide.push(config.data.clone());
    let mut network = NetworkSettings::below(layout.root().join("netns"));
    network.range = config.network_range()?;
    Ok(Parts {
        images: Arc::new(NodeImages::open(&layout.root().join("images"), &config.insecure_registries)?),
        networks: Arc::new(VethNetworks::open(network).await?),
        sandboxes: Arc::new(Sandboxer::new(sandbox)?),
    })
}

async fn assemble(config: &Config, layout: Layout, store: Store, parts: Parts) -> Result<Bound, NodeError> {
    let node_id = store.node_id(&config.node_id)?;
    let orchestrator = Orchestrator::new(&config.orchestrator, &node_id, &config.token()?)?;
    let begin = u32::from_str_radix(&store.scope()?, 16).unwrap_or_default();
    let ledger = Ledger::new(store.clone(), config.id_range_first, config.id_range_count.max(1), begin);
    let world = World {
        images: parts.images,
        content: Arc::new(NodeLocalContent::new(layout.clone(), ledger.clone(), store.clone())),
        networks: parts.networks,
        sandboxes: parts.sandboxes,
        sources: Arc::new(RemoteSources::new(layout.clone(), orchestrator.clone())),
        store,
        ledger,
        reports: Arc::new(Reports::default()),
        logs: Arc::new(LogSpool::new(layout.clone(), config.log_bytes.0)),
        locks: Arc::default(),
        limits: limits(config),
        layout: layout.clone(),
    };
    let resolver = Resolver::new(world.clone(), &config.resolve_image, config.resolve_parallel, config.resolve_timeout.0);
    let dial = DialServer::bind(&layout.dial_socket())?;
    let hello = hello(config, node_id, &layout)?;
    Ok(Bound { instances: Instances::new(world), resolver, orchestrator, dial, hello, config: config.clone() })
}

fn limits(config: &Config) -> Limits {
    Limits {
        image: config.image_timeout.0,
        content: config.content_timeout.0,
        network: config.network_timeout.0,
        sandbox: config.sandbox_timeout.0,
        supervisor: config.supervisor_timeout.0,
        start: config.start_deadline.0,
        stop_grace: config.stop_grace.0,
        usage_interval: config.usage_interval.0,
        disk_interval: config.disk_interval.0,
        retry: Duration::from_millis(250),
    }
}

fn hello(config: &Config, node_id: String, layout: &Layout) -> Result<NodeHello, NodeError> {
    let boot = "/proc/sys/kernel/random/boot_id";
    let boot_id = std::fs::read_to_string(boot).map_err(NodeError::io(format!("read {boot}")))?;
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let allocatable = Resources { cpu_millis: processors * 1_000, memory_bytes: heartbeat::total_memory(), pids: 0 };
    Ok(NodeHello {
        node_id,
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        session: hex::encode(rand::random::<[u8; 16]>()),
        boot_id: boot_id.trim().into(),
        allocatable: Some(allocatable),
        labels: config.labels.clone().into_iter().collect(),
        token: config.token()?,
        dial_socket: layout.dial_socket().display().to_string(),
    })
}

impl Bound {
    /// Where an edge on this machine asks for connected sockets.
    pub fn dial_socket(&self) -> PathBuf {
        self.instances.world().layout.dial_socket()
    }

    /// The name of this node.
    pub fn node_id(&self) -> &str {
        &self.hello.node_id
    }

    /// The instances, for tests and for who runs in the same process.
    pub fn instances(&self) -> Instances {
        self.instances.clone()
    }

    /// Finds the instances of the life before, then serves until `shutdown`. Instances live on after it.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        self.instances.recover().await?;
        let (local, connections) = mpsc::channel(16);
        let tunnels = Tunnels::new(self.instances.clone(), self.orchestrator.clone(), local);
        let stream = NodeStream::new(self.orchestrator, self.instances.clone(), tunnels, self.hello, self.config.min_free.0);
        let service = NodeLocal::new(self.instances.clone(), self.resolver);
        tokio::select! {
            () = shutdown => {}
            () = stream.run() => {}
            () = self.dial.serve(self.instances.clone()) => {}
            () = serve_local(service, connections) => {}
        }
        self.instances.halt().await;
        Ok(())
    }
}

/// Serves the node's own service to tunnels that end in this process.
async fn serve_local(service: NodeLocal, connections: mpsc::Receiver<DuplexStream>) {
    let incoming = ReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
    let server = tonic::transport::Server::builder().add_service(NodeLocalServiceServer::new(service));
    if let Err(error) = server.serve_with_incoming(incoming).await {
        tracing::error!(%error, "serve the node's own service");
    }
}
