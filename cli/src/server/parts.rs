//! The three daemons of one machine: configured to find each other, bound, served together.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use daemon_kit::config::load_section;

use super::{inside, refused};
use crate::args::Server;
use crate::error::CommandError;

/// Bound daemons; nothing runs yet.
pub struct Parts {
    orchestrator: orchestrator::app::Bound,
    node: ws_daemon::app::Bound,
    edge: ide_proxy::app::Bound,
    api_url: String,
    edge_url: String,
}

/// Reads the configuration of each, makes them agree, and binds them.
pub async fn bind(data: &Path, options: &Server) -> Result<Parts, CommandError> {
    let file = options.config.as_deref();
    let mut edge: ide_proxy::config::Config = load("edge", file, ide_proxy::config::DEFAULTS, "CRANNOG_EDGE_")?;
    edge.listen = free_port(options.edge.unwrap_or(edge.listen))?;
    edge.admin.clear();

    let mut config: orchestrator::config::Config =
        load("orchestrator", file, orchestrator::config::DEFAULTS, orchestrator::config::ENV_PREFIX)?;
    config.data = data.join("orchestrator");
    config.listen = options.listen.unwrap_or(config.listen);
    config.edge_url = format!("{}://{{port}}-{{name}}.{}:{}", edge.scheme.as_str(), edge.suffix, edge.listen.port());
    let edge_url = config.edge_url.replace("{port}", "PORT").replace("{name}", "NAME");
    let orchestrator = orchestrator::app::bind(&config).await.map_err(refused_orchestrator)?;
    let api_url = format!("http://{}", orchestrator.address());

    let mut node: ws_daemon::config::Config = load("node", file, ws_daemon::config::DEFAULTS, "CRANNOG_NODE_")?;
    node.data = data.to_owned();
    node.orchestrator.clone_from(&api_url);
    node.token_file = config.data.join("node.token");
    if let Some(supervisor) = std::env::var_os("CRANNOG_SUPERVISOR") {
        node.supervisor = supervisor.into();
    }
    let node = ws_daemon::app::bind(&node).await.map_err(refused)?;

    edge.orchestrator.clone_from(&api_url);
    edge.token_file = config.data.join("edge.token");
    let edge = ide_proxy::app::bind(&edge).await.map_err(refused)?;
    Ok(Parts { orchestrator, node, edge, api_url, edge_url })
}

fn load<T: serde::de::DeserializeOwned>(
    section: &str,
    file: Option<&Path>,
    defaults: &str,
    environment: &str,
) -> Result<T, CommandError> {
    load_section(defaults, file.map(|file| (file, section)), environment, &[]).map_err(refused)
}

/// The orchestrator's binding fails for what its own errors classify, or for a reason that is nobody's to mend.
fn refused_orchestrator(error: anyhow::Error) -> CommandError {
    match error.downcast::<orchestrator::app::BindError>() {
        Ok(known) => refused(known),
        Err(other) => inside(other.as_ref()),
    }
}

/// The orchestrator writes the edge's port into addresses before the edge is bound, so "any port" is decided here.
fn free_port(address: SocketAddr) -> Result<SocketAddr, CommandError> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = TcpListener::bind(address).map_err(CommandError::io(format!("listen on {address}")))?;
    listener.local_addr().map_err(CommandError::io("read the local address"))
}

impl Parts {
    /// "http://127.0.0.1:7270"
    pub fn api_url(&self) -> String {
        self.api_url.clone()
    }

    /// "http://PORT-NAME.localhost:7280"
    pub fn edge_url(&self) -> String {
        self.edge_url.clone()
    }

    /// What the command line shows as its right to ask.
    pub fn owner_token(&self) -> String {
        self.orchestrator.tokens().owner.expose().clone()
    }

    /// Serves until a signal asks to end; the first daemon that fails ends the others.
    pub async fn serve(self) -> Result<(), CommandError> {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let until = || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            }
        };
        let mut running = tokio::task::JoinSet::new();
        let (orchestrator, node, edge) = (self.orchestrator.serve(until()), self.node.serve(until()), self.edge.serve(until()));
        running.spawn(async { orchestrator.await.map_err(|error| inside(error.as_ref())) });
        running.spawn(async { node.await.map_err(|error| inside(&error)) });
        running.spawn(async { edge.await.map_err(|error| inside(&error)) });
        let first = tokio::select! {
            _ = daemon_kit::shutdown::requested() => Ok(()),
            Some(ended) = running.join_next() => ended.map_err(|error| inside(&error)).and_then(|ended| ended),
        };
        let _ = stop.send(true);
        while let Some(ended) = running.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::error!(error = %error, "a daemon ended badly");
            }
        }
        first
    }
}
