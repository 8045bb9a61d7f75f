//! A node as a process of its own: arguments, configuration, logs, bind, serve. Instances outlive it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use ws_daemon::config::{Config, DEFAULTS};

/// Runs instances on this machine for an orchestrator.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A TOML file over the built-in defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What to log: "info", "ws_daemon=debug".
    #[arg(long, env = "CRANNOG_LOG", default_value = "info")]
    log: String,
}

fn main() -> anyhow::Result<()> {
    // Before any thread: where this process is the runtime's helper, it never returns from here.
    ws_daemon::runtime::reexec();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config: Config = daemon_kit::config::load(DEFAULTS, arguments.config.as_deref(), "CRANNOG_NODE_", &[])?;
    let _logs = daemon_kit::logs::init(&arguments.log)?;
    let _recorder = daemon_kit::metrics::install();
    daemon_kit::tls::install_provider();
    let node = ws_daemon::app::bind(&config).await.context("bind")?;
    tracing::info!(node = node.node_id(), dial_socket = %node.dial_socket().display(), "bound");
    node.serve(requested()).await.context("serve")
}

async fn requested() {
    match daemon_kit::shutdown::requested().await {
        Ok(signal) => tracing::info!(signal, "ending; instances live on"),
        Err(error) => tracing::error!(%error, "signals cannot be received; ending"),
    }
}
