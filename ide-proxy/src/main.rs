//! The edge as a process of its own: arguments, configuration, logs, bind, serve, drain.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use daemon_kit::admin::{self, Admin};
use daemon_kit::logs::LogControl;
use daemon_kit::metrics::Recorder;
use daemon_kit::readiness::{Hold, Readiness};
use ide_proxy::config::{Config, DEFAULTS};
use ide_proxy::routes::Routes;
use tokio::net::TcpListener;

/// The edge: HTTP and WebSocket to ports of workspaces, and who may reach what.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file over the built-in defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What to log: "info", "ide_proxy=debug".
    #[arg(long, env = "CRANNOG_LOG", default_value = "info")]
    log: String,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config: Config = daemon_kit::config::load(DEFAULTS, arguments.config.as_deref(), "CRANNOG_EDGE_", &[])?;
    let logs = daemon_kit::logs::init(&arguments.log)?;
    let recorder = daemon_kit::metrics::install();
    let edge = ide_proxy::app::bind(&config).await?;
    let readiness = Readiness::default();
    tokio::spawn(hold_until_synced(edge.routes(), readiness.hold("routes")));
    serve_admin(&config, readiness, recorder, logs).await?;
    tracing::info!(address = %edge.address()?, "listening");
    edge.serve(requested()).await.context("serve")
}

async fn requested() {
    match daemon_kit::shutdown::requested().await {
        Ok(signal) => tracing::info!(signal, "ending"),
        Err(error) => tracing::error!(%error, "signals cannot be received; ending"),
    }
}

async fn hold_until_synced(routes: Arc<Routes>, hold: Hold) {
    let mut changes = routes.changes();
    while !routes.is_synced() && changes.changed().await.is_ok() {}
    drop(hold);
}

async fn serve_admin(config: &Config, readiness: Readiness, recorder: Recorder, logs: LogControl) -> anyhow::Result<()> {
    if config.admin.is_empty() {
        return Ok(());
    }
    let listener = TcpListener::bind(&config.admin).await.with_context(|| format!("listen on {} for operators", config.admin))?;
    let config = serde_json::to_value(config).context("show the configuration")?;
    tokio::spawn(admin::serve(listener, Admin { readiness, recorder, config, logs: Some(logs) }, std::future::pending()));
    Ok(())
}
