//! `cargo xtask up`: the main job. A server on a private data directory, a workspace from a repository, its waterfall.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::build::{self, Profile};
use crate::setup;

pub mod server;

use server::Server;

/// `cargo xtask up`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to start from, as `crannog start` takes it; this repository where not given
    source: Option<String>,
    /// Image to start from: a reference, or `host` for this machine's own root file system
    #[arg(long, value_name = "REF|host")]
    image: Option<String>,
    /// Run this by the shell in the workspace once its `init` is done, give its output and exit status, and stop everything
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

/// Runs the main job.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    setup::install(setup::RUN)?;
    eprintln!("building (the first time takes some minutes)");
    let built = build::programs(Profile::Release)?;
    let signals = blocked_signals()?;
    let source = options.source.clone().unwrap_or_else(|| setup::root().display().to_string());
    match &options.exec {
        Some(command) => once(&built, &source, options.image.as_deref(), command),
        None => stay(&built, &source, options.image.as_deref(), &signals),
    }
}

/// Ctrl-C is waited for, and must not end this program before everything is stopped.
fn blocked_signals() -> anyhow::Result<SigSet> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().context("block signals")?;
    Ok(signals)
}

/// With `--exec`: nothing is left behind but what the command printed.
fn once(built: &build::Built, source: &str, image: Option<&str>, command: &str) -> anyhow::Result<ExitCode> {
    let scratch = tempfile::Builder::new().prefix("crannog-up-").tempdir().context("make a data directory")?;
    let data = scratch.path().join("data");
    let server = Server::start(built, &data)?;
    let outcome = start_and_exec(&server, source, image, command);
    let stopped = server.stop_everything();
    remove(&data)?;
    let code = outcome?;
    stopped?;
    Ok(code)
}

fn start_and_exec(server: &Server, source: &str, image: Option<&str>, command: &str) -> anyhow::Result<ExitCode> {
    if let Some(code) = start(server, source, image)? {
        return Ok(code);
    }
    let name = server
        .workspaces()?
        .first()
        .and_then(|w| w["name"].as_str().map(str::to_owned))
        .context("the server lists no workspace")?;
    wait_for_init(server, &name)?;
    let status =
        server.crannog(["exec", "--interactive", &name, "--", "sh", "-c", command]).status().context("run crannog exec")?;
    Ok(exit_code(status))
}

/// The exit code of a start that failed; its message is on the terminal already.
fn start(server: &Server, source: &str, image: Option<&str>) -> anyhow::Result<Option<ExitCode>> {
    let mut command = server.crannog(["start", source]);
    if let Some(image) = image {
        command.args(["--image", image]);
    }
    // Standard output belongs to the command of --exec; how to enter is said by us.
    let status = command.stdout(Stdio::null()).status().context("run crannog start")?;
    Ok((!status.success()).then(|| exit_code(status)))
}

fn wait_for_init(server: &Server, name: &str) -> anyhow::Result<()> {
    loop {
        let workspace = server.json(["show", name, "-o", "json"])?;
        let is_done = workspace["content"]["init_done"].as_bool().unwrap_or(false);
        match (is_done, workspace["phase"].as_str()) {
            (true, Some("running")) => return Ok(()),
            (_, Some("running")) => std::thread::sleep(Duration::from_millis(200)),
            (_, phase) => bail!("the workspace is {} before its init was done", phase.unwrap_or("gone")),
        }
    }
}

/// Without `--exec`: the same data directory each time, so that work goes on where it was left.
fn stay(built: &build::Built, source: &str, image: Option<&str>, signals: &SigSet) -> anyhow::Result<ExitCode> {
    let data = build::target().join("up");
    let server = Server::start(built, &data)?;
    let failed = match known(&server, source)? {
        Some(name) => start(&server, &name, None)?,
        None => start(&server, source, image)?,
    };
    if let Some(code) = failed {
        server.stop_everything()?;
        return Ok(code);
    }
    greet(&server, built)?;
    signals.wait().context("wait for Ctrl-C")?;
    eprintln!("\nstopping; everything in the workspaces is kept");
    server.stop_everything()?;
    Ok(ExitCode::SUCCESS)
}

/// A stopped workspace of an earlier `up` from the same source.
fn known(server: &Server, source: &str) -> anyhow::Result<Option<String>> {
    let shown = std::fs::canonicalize(source).map_or_else(|_| source.to_owned(), |path| format!("{} (local)", path.display()));
    let workspaces = server.workspaces()?;
    let found = workspaces.iter().find(|w| w["source"] == shown.as_str() && w["phase"] == "stopped");
    Ok(found.and_then(|w| w["name"].as_str()).map(str::to_owned))
}

fn greet(server: &Server, built: &build::Built) -> anyhow::Result<()> {
    let crannog = format!("{} --data {}", shown(&built.crannog), shown(server.data()));
    for workspace in server.workspaces()?.iter().filter(|w| w["phase"] == "running") {
        let name = workspace["name"].as_str().unwrap_or_default();
        println!("\nworkspace {name} runs");
        println!("  a shell in it:   {crannog} shell {name}");
        println!("  its tasks:       {crannog} logs {name} -f");
        println!("  its ports:       {crannog} ports {name}");
        for port in workspace["ports"].as_array().into_iter().flatten() {
            println!("  port {:<11} {}", port["port"], port["url"].as_str().unwrap_or_default());
        }
        println!("  a port's link:   {crannog} url {name} PORT");
    }
    println!("\nCtrl-C stops everything and loses nothing.");
    Ok(())
}

fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path: PathBuf = path.strip_prefix(&here).map_or_else(|_| path.to_owned(), Path::to_owned);
    path.display().to_string()
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

fn remove(data: &Path) -> anyhow::Result<()> {
    setup::run(
        setup::as_root("the temporary data directory is removed", "rm").arg("-rf").arg("--one-file-system").arg("--").arg(data),
    )
}
