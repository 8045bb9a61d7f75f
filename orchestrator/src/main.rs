//! The orchestrator as a program of its own: arguments, configuration, logs, bind, serve.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use daemon_kit::config::Layers;
use orchestrator::{app, config};

/// What should exist, where, and what is known of it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Settings that differ from the defaults (TOML).
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, global = true)]
    listen: Option<String>,
    /// Where state is kept.
    #[arg(long, global = true)]
    data: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Shows the settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints each setting as it stands.
    Show {
        /// With the layer that it came from.
        #[arg(long)]
        origin: bool,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    daemon_kit::tls::install_provider();
    let arguments = Arguments::parse();
    let flags: Vec<_> = [("listen", &arguments.listen), ("data", &arguments.data)]
        .into_iter()
        .filter_map(|(key, value)| value.clone().map(|value| (key, value)))
        .collect();
    let layers = Layers::read(config::DEFAULTS, arguments.config.as_deref(), std::env::vars(), config::ENV_PREFIX, &flags)?;
    let config: config::Config = layers.parse()?;
    if let Some(Command::Config { command: ConfigCommand::Show { origin } }) = arguments.command {
        show(&layers, origin);
        return Ok(());
    }
    let logs = daemon_kit::logs::init(&config.log)?;
    let bound = app::bind(&config).await.context("bind")?.with_logs(logs);
    tracing::info!(address = %bound.address(), "listening");
    bound.serve(async { drop(daemon_kit::shutdown::requested().await) }).await.context("serve")
}

fn show(layers: &Layers, with_origin: bool) {
    for setting in layers.settings() {
        let origin = if with_origin { format!("  # {}", setting.origin) } else { String::new() };
        println!("{} = {}{origin}", setting.key, setting.value);
    }
}
