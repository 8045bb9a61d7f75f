//! Puts the parts together; the only room that names concrete ones.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::v1::edge_service_server::EdgeServiceServer;
use api::v1::node_service_server::NodeServiceServer;
use api::v1::workspace_service_server::WorkspaceServiceServer;
use daemon_kit::admin::Admin;
use daemon_kit::data_dir::DataDir;
use daemon_kit::logs::LogControl;
use daemon_kit::readiness::Readiness;
use domain::class::{Class, Classify};
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::auth::AuthLayer;
use crate::config::Config;
use crate::error::WorkspaceError;
use crate::nodes::{Nodes, SharedNodes};
use crate::ports::{Clock, SystemClock};
use crate::routes::Routes;
use crate::service::streams::Streams;
use crate::service::{LARGEST_MESSAGE, edges, nodes, workspaces as people};
use crate::sessions::Sessions;
use crate::sources::Sources;
use crate::store::Store;
use crate::supervisors::Supervisors;
use crate::tokens::Tokens;
use crate::tunnels::Tunnels;
use crate::workspaces::{Settings, SharedWorkspaces, Workspaces};

/// The form of the data directory.
const FORMAT: u32 = 1;

/// How long streams may go on after the daemon was asked to end.
const DRAIN: Duration = Duration::from_secs(2);

/// How often the gauges are set.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// How often what nobody needs is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// A client repeats a request within minutes, not weeks.
const REQUESTS_KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// The configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Tokens would go over a network in the clear.
    #[error("{0} is reachable from other machines, and there is no TLS")]
    PlainText(SocketAddr),
    /// Somebody else listens there.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The classes do not fit together.
    #[error("the configuration's classes are not usable: {0}")]
    Classes(String),
}

impl Classify for BindError {
    fn class(&self) -> Class {
        match self {
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => Class::AlreadyExists,
            Self::Listen { .. } => Class::FailedPrecondition,
            Self::PlainText(_) | Self::Classes(_) => Class::InvalidArgument,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::PlainText(_) => "PlainTextRefused",
            Self::Listen { .. } => "AddressUnusable",
            Self::Classes(_) => "ClassesMalformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::PlainText(_) => {
                "set tls_certificate and tls_key, or listen on 127.0.0.1, or set allow_plain_text when the network is private"
                    .into()
            }
            Self::Listen { .. } => "stop what listens there, or give another address with `--listen`".into(),
            Self::Classes(_) => "default_class must be one of [classes]; cpus is a number such as \"1.5\"".into(),
        })
    }
}

/// An orchestrator that listens and does not serve yet.
pub struct Bound {
    listener: TcpListener,
    admin: Option<TcpListener>,
    address: SocketAddr,
    tokens: Tokens,
    config: Config,
    parts: Parts,
    readiness: Readiness,
    logs: Option<LogControl>,
    _data: DataDir,
}

struct Parts {
    store: Store,
    nodes: SharedNodes,
    tunnels: Tunnels,
    supervisors: Arc<Supervisors>,
    workspaces: SharedWorkspaces,
    sources: Sources,
    sessions: Sessions,
    clock: Arc<dyn Clock>,
}

/// Opens the data directory and the ports.
pub async fn bind(config: &Config) -> anyhow::Result<Bound> {
    bind_with(config, Arc::new(SystemClock)).await
}

/// As [`bind`], by another clock.
pub async fn bind_with(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Bound> {
    check(config)?;
    let readiness = Readiness::default();
    let hold = readiness.hold("store");
    let data = DataDir::open(&config.data, FORMAT)?;
    let tokens = Tokens::open(data.path())?;
    let parts = parts(config, data.path().to_owned(), clock).await?;
    let listener = listen(config.listen).await?;
    let address = listener.local_addr().context("learn the address")?;
    let admin = match config.admin.as_str() {
        "" => None,
        text => Some(listen(text.parse().with_context(|| format!("the setting `admin`: {text:?} is not an address"))?).await?),
    };
    drop(hold);
    Ok(Bound { listener, admin, address, tokens, config: config.clone(), parts, readiness, logs: None, _data: data })
}

fn check(config: &Config) -> Result<(), BindError> {
    let has_tls = !config.tls_certificate.as_os_str().is_empty();
    if !config.listen.ip().is_loopback() && !has_tls && !config.allow_plain_text {
        return Err(BindError::PlainText(config.listen));
    }
    if !config.classes.contains_key(&config.default_class) {
        return Err(BindError::Classes(format!("there is no class {:?}", config.default_class)));
    }
    let wrong = config.classes.iter().find(|(_, class)| class.cpu_millis().is_none());
    wrong.map_or(Ok(()), |(name, class)| Err(BindError::Classes(format!("{name}: cpus is {:?}", class.cpus))))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError::Listen { address, source })
}

async fn parts(config: &Config, data: PathBuf, clock: Arc<dyn Clock>) -> anyhow::Result<Parts> {
    let store = Store::open(&data.join("state.db")).await?;
    let sources = Sources::open(&data.join("sources"), store.clone(), config.max_source_size)?;
    let nodes: SharedNodes = Arc::new(Nodes::default());
    let tunnels = Tunnels::new(nodes.clone(), clock.clone(), config.tunnel_deadline.0);
    let supervisors = Supervisors::new(tunnels.clone());
    let settings = Settings::new(config);
    let workspaces = Workspaces::load(store.clone(), nodes.clone(), supervisors.clone(), clock.clone(), settings).await?;
    let sessions = Sessions::new(store.clone(), workspaces.clone(), config.session_lifetime.0);
    Ok(Parts { store, nodes, tunnels, supervisors, workspaces, sources, sessions, clock })
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The tokens of owner, nodes and edges.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Lets the admin port change the log level.
    #[must_use]
    pub fn with_logs(mut self, logs: LogControl) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Who holds it back from being ready.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Serves until `shutdown`; then streams end and the store is closed.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { listener, admin, tokens, config, parts, readiness, logs, _data, .. } = self;
        crate::metrics::describe();
        let mut background = JoinSet::new();
        parts.workspaces.resume().await;
        background.spawn(parts.workspaces.clone().keep_time());
        background.spawn(measure(parts.workspaces.clone(), parts.nodes.clone(), parts.clock.clone()));
        background.spawn(sweep(parts.workspaces.clone(), parts.sources.clone(), parts.store.clone(), parts.clock.clone()));
        if let Some(listener) = admin {
            let shown =
                Admin { readiness, recorder: daemon_kit::metrics::install(), config: serde_json::to_value(&config)?, logs };
            background.spawn(daemon_kit::admin::serve(listener, shown, std::future::pending()).map(|_| ()));
        }
        let (ending, ended) = tokio::sync::oneshot::channel::<()>();
        let nodes = parts.nodes.clone();
        let supervisors = parts.supervisors.clone();
        let watchers = parts.workspaces.ending().clone();
        let store = parts.store.clone();
        let server = router(&config, &tokens, parts)?
            .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), ended.map(|_| ()));
        tokio::pin!(server);
        let served = tokio::select! {
            served = &mut server => served,
            () = shutdown => {
                nodes.disconnect_all();
                supervisors.forget_all();
                watchers.cancel();
                let _ = ending.send(());
                // Commands and forwarded ports have a while to end by themselves.
                tokio::time::timeout(DRAIN, &mut server).await.unwrap_or(Ok(()))
            }
        };
        background.shutdown().await;
        store.close().await;
        served.context("serve the API")
    }
}

fn router(
    config: &Config,
    tokens: &Tokens,
    parts: Parts,
) -> anyhow::Result<tonic::transport::server::Router<tower::layer::util::Stack<AuthLayer, tower::layer::util::Identity>>> {
    let Parts { store, nodes, tunnels, supervisors, workspaces, sources, sessions, clock } = parts;
    let hashes = tokens.hashes();
    let streams = Streams::new(workspaces.clone(), supervisors);
    let people = people::Workspaces {
        workspaces: workspaces.clone(),
        nodes: nodes.clone(),
        sources: sources.clone(),
        sessions: sessions.clone(),
        store,
        streams,
    };
    let routes = Routes::new(nodes.clone(), clock.now());
    let nodes = nodes::Nodes { nodes, workspaces: workspaces.clone(), tunnels, sources, token: hashes.node };
    let edges = edges::Edges { workspaces, routes, sessions };
    let mut server = Server::builder();
    if !config.tls_certificate.as_os_str().is_empty() {
        server = server.tls_config(ServerTlsConfig::new().identity(identity(config)?)).context("set TLS up")?;
    }
    let router = server
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .layer(AuthLayer(hashes))
        .add_service(WorkspaceServiceServer::new(people).max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(NodeServiceServer::new(nodes).max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(EdgeServiceServer::new(edges).max_decoding_message_size(LARGEST_MESSAGE));
    Ok(router)
}

fn identity(config: &Config) -> anyhow::Result<Identity> {
    daemon_kit::tls::install_provider();
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    Ok(Identity::from_pem(read(&config.tls_certificate)?, read(&config.tls_key)?))
}

/// Keeps the gauges up to date.
async fn measure(workspaces: SharedWorkspaces, nodes: SharedNodes, clock: Arc<dyn Clock>) {
    loop {
        crate::metrics::record(workspaces.hub(), &nodes);
        clock.sleep(MEASURE_EVERY).await;
    }
}

/// Removes what nobody needs any more: uploads, sessions that are over, answers to requests of long ago.
async fn sweep(workspaces: SharedWorkspaces, sources: Sources, store: Store, clock: Arc<dyn Clock>) {
    loop {
        if let Err(error) = sweep_once(&workspaces, &sources, &store, clock.now()).await {
            tracing::error!(error = daemon_kit::status::chain(&error), "what nobody needs could not be removed");
        }
        clock.sleep(SWEEP_EVERY).await;
    }
}

async fn sweep_once(workspaces: &SharedWorkspaces, sources: &Sources, store: &Store, now: i64) -> Result<(), WorkspaceError> {
    let removed = sources.collect(&workspaces.used_sources(), now).await?;
    if removed > 0 {
        tracing::info!(removed, "uploaded sources that no workspace needs were removed");
    }
    store.end_sessions(now).await?;
    store.forget_requests(now - REQUESTS_KEPT_MS).await?;
    Ok(())
}
