//! `crannog server`: orchestrator, ws-daemon and ide-proxy in one process, each bound as its own `main` binds it. They
//! speak over their sockets here too: there is no second code path.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use domain::class::Class;

use crate::args::{Connection, Server};
use crate::client::{ClientFile, DEFAULT_DATA};
use crate::error::CommandError;

mod parts;

/// The layout of the data directory that this version writes.
const DATA_FORMAT: u32 = 1;

/// Runs until it is asked to end. Workspaces go on without it, and are found again.
pub fn run(connection: &Connection, options: &Server) -> Result<(), CommandError> {
    let data = connection.data.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
    if !is_root() {
        return Err(CommandError::here(
            Class::PermissionDenied,
            "crannog server makes containers, which needs root on this machine",
            "start it with `sudo crannog server`",
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandError::io("start"))?;
    runtime.block_on(serve(&data, options))
}

async fn serve(data: &Path, options: &Server) -> Result<(), CommandError> {
    let _logs = daemon_kit::logs::init("info").map_err(|error| inside(&error))?;
    daemon_kit::tls::install_provider();
    let directory = daemon_kit::data_dir::DataDir::open(data, DATA_FORMAT).map_err(refused)?;
    let parts = parts::bind(directory.path(), options).await?;
    let client = ClientFile { server: parts.api_url(), token: parts.owner_token() };
    write_client_files(directory.path(), &client)?;
    println!("crannog server {} is ready", env!("CARGO_PKG_VERSION"));
    println!("  API    {}", client.server);
    println!("  ports  {}", parts.edge_url());
    println!("  data   {}", directory.path().display());
    let outcome = parts.serve().await;
    let _ = std::fs::remove_file(directory.path().join("client.json"));
    outcome
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// An error of a daemon that says itself what to do.
fn refused<E: domain::class::Classify + Send + Sync + 'static>(error: E) -> CommandError {
    let (class, hint) = (error.class(), error.hint().unwrap_or_default());
    CommandError::here(class, chain(&error), hint)
}

/// An error inside; it says what it knows.
fn inside(error: &dyn std::error::Error) -> CommandError {
    CommandError::here(Class::Internal, chain(error), "")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// `client.json` for whoever may read the data directory, and for the user who ran sudo where it is the machine's server.
fn write_client_files(data: &Path, client: &ClientFile) -> Result<(), CommandError> {
    let text = serde_json::to_vec_pretty(client).map_err(|error| inside(&error))?;
    daemon_kit::data_dir::write_private(&data.join("client.json"), &text).map_err(CommandError::io("write client.json"))?;
    if let Err(error) = give_to_owner(data, &text) {
        tracing::warn!(error = format!("{error:#}"), "the user who started this server has to name it with --data");
    }
    Ok(())
}

/// With sudo, the person at the keyboard is not root: their command line finds the server all the same.
fn give_to_owner(data: &Path, text: &[u8]) -> anyhow::Result<()> {
    let (Ok(uid), Ok(gid)) = (std::env::var("SUDO_UID"), std::env::var("SUDO_GID")) else { return Ok(()) };
    let (uid, gid): (u32, u32) = (uid.parse().context("SUDO_UID")?, gid.parse().context("SUDO_GID")?);
    let user = nix::unistd::User::from_uid(uid.into())?.context("SUDO_UID names nobody")?;
    let place = if data == Path::new(DEFAULT_DATA) {
        user.dir.join(".config/crannog/client.json")
    } else {
        // A data directory of their own choice: they may pass through it, and read this one file.
        std::os::unix::fs::chown(data, None, Some(gid))?;
        std::fs::set_permissions(data, std::os::unix::fs::PermissionsExt::from_mode(0o710))?;
        data.join("client.json")
    };
    if let Some(folder) = place.parent().filter(|folder| !folder.exists()) {
        std::fs::create_dir_all(folder)?;
        std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    }
    daemon_kit::data_dir::write_private(&place, text)?;
    std::os::unix::fs::chown(&place, Some(uid), Some(gid))?;
    Ok(())
}
