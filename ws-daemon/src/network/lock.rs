//! One daemon of the machine at a time changes links and rules.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::NodeError;

/// Held while links and rules change; given back when dropped, or when the process dies.
pub(super) struct Lock(#[allow(dead_code, reason = "closing it gives the lock back")] File);

impl Lock {
    /// Waits for its turn.
    pub(super) fn take(path: &Path) -> Result<Self, NodeError> {
        let doing = || format!("lock {}", path.display());
        let file = File::options().create(true).append(true).open(path).map_err(NodeError::io(doing()))?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(NodeError::io(doing()))?;
        file.lock().map_err(NodeError::io(doing()))?;
        Ok(Self(file))
    }
}
