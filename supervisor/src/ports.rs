//! Which ports are served inside, by whom, and who may reach them. [`listening`] asks the kernel, [`owners`] finds the
//! processes, [`table`] applies the configuration and the owner's choices, and the hub tells everybody.

pub mod listening;
pub mod owners;
pub mod table;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::v1::Visibility;
use domain::class::{Class, Classify};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::listening::{Listening, SockDiag};
use self::owners::Owners;
pub use self::table::Table;
use crate::Context;
use crate::clock::unix_ms;
use crate::config::Config;

/// Between two looks while something changes.
const QUICK: Duration = Duration::from_millis(50);
/// Between two looks when nothing has changed for long.
const SLOW: Duration = Duration::from_millis(500);
/// How long after a change, or after a person did something, it is looked at quickly.
const BUSY: Duration = Duration::from_secs(10);

/// What can be wrong with a choice.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// It is no port of a workspace.
    #[error("port {0} is not one of the workspace's")]
    NotYours(u16),
    /// Neither private nor public.
    #[error("no visibility is named")]
    NoVisibility,
}

impl Classify for PortsError {
    fn class(&self) -> Class {
        Class::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        Some("choose a port from 1 to 65535 that a program of the workspace serves, and private or public".into())
    }
}

/// Looks for ever. A look costs some ten microseconds; a thread of its own is not worth it.
pub async fn watch(ctx: Context) {
    let mut diag = match SockDiag::open() {
        Ok(diag) => diag,
        Err(error) => return tracing::error!(%error, "ports cannot be watched: no NETLINK_SOCK_DIAG"),
    };
    let mut watcher = Watcher { owners: Owners::new("/proc"), seen: Vec::new(), changed: Instant::now() };
    loop {
        match diag.listening() {
            Ok(sockets) => watcher.look(&ctx, sockets),
            Err(error) => tracing::warn!(%error, "cannot list listening sockets"),
        }
        tokio::time::sleep(watcher.pause(&ctx)).await;
    }
}

/// The owner's word about a port; seen at once, kept for as long as the instance runs.
pub fn set_visibility(ctx: &Context, port: u16, visibility: Visibility) -> Result<(), PortsError> {
    if visibility == Visibility::Unspecified {
        return Err(PortsError::NoVisibility);
    }
    let mut table = ctx.ports.lock();
    if port == 0 || table.is_hidden(port) {
        return Err(PortsError::NotYours(port));
    }
    table.choose(port, visibility);
    drop(table);
    ctx.hub.update(|state| {
        for status in state.ports.iter_mut().filter(|status| status.port == u32::from(port)) {
            status.set_visibility(visibility);
        }
    });
    Ok(())
}

/// The table, shared by who watches and who chooses.
pub type Shared = Arc<Mutex<Table>>;

/// The table that a configuration asks for.
pub fn table(config: &Config) -> Shared {
    let spec = &config.spec;
    Arc::new(Mutex::new(Table::new(spec.ports.clone(), spec.edge_url_template.clone(), vec![config.api_port])))
}

struct Watcher {
    owners: Owners,
    seen: Vec<Listening>,
    changed: Instant,
}

impl Watcher {
    fn look(&mut self, ctx: &Context, mut sockets: Vec<Listening>) {
        sockets.sort_by_key(|s| (s.port, s.inode));
        if sockets != self.seen {
            self.changed = Instant::now();
            self.seen = sockets;
        }
        let inodes: HashSet<u32> = self.seen.iter().map(|s| s.inode).collect();
        self.owners.update(&inodes);
        let ports = ctx.ports.lock().list(&self.seen, |inode| self.owners.get(inode));
        if ctx.hub.with(|state| state.ports != ports) {
            ctx.hub.update(|state| state.ports = ports);
        }
    }

    /// Quickly while things change or somebody types; then slower and slower.
    fn pause(&self, ctx: &Context) -> Duration {
        let active = ctx.hub.with(|state| state.last_activity_unix_ms);
        let idle = Duration::from_millis((unix_ms() - active).max(0) as u64);
        let quiet = self.changed.elapsed().min(idle);
        if quiet < BUSY { QUICK } else { (quiet / 100).clamp(QUICK, SLOW) }
    }
}
