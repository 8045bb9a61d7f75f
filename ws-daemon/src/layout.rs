//! Where things lie in the node's directory. Everything below an instance's directory goes with it; what a workspace
//! keeps lies below the workspace's.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::NodeError;

/// Paths below `DATA/node`. Ids are checked before they get here ([`domain::name::is_id`]).
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the directory itself; only root may enter.
    pub fn open(root: &Path) -> Result<Self, NodeError> {
        private_directory(root)?;
        let layout = Self { root: root.to_owned() };
        for directory in [layout.instances(), layout.workspaces(), layout.sources(), layout.trash()] {
            private_directory(&directory)?;
        }
        Ok(layout)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database of [`crate::store`].
    pub fn database(&self) -> PathBuf {
        self.root.join("state.redb")
    }

    /// Where an edge asks for connected sockets.
    pub fn dial_socket(&self) -> PathBuf {
        self.root.join("dial.sock")
    }

    /// All instances.
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// What goes with one instance.
    pub fn instance(&self, id: &str) -> PathBuf {
        self.instances().join(id)
    }

    /// The bundle that an instance is made from, shown inside; goes with the instance.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.instance(id).join("source.bundle")
    }

    /// Where the node listens for and reaches the supervisor; never mounted inside.
    pub fn supervisor_socket(&self, id: &str) -> PathBuf {
        self.instance(id).join("run").join("supervisor.sock")
    }

    /// All workspaces.
    pub fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }

    /// What one workspace keeps.
    pub fn workspace(&self, id: &str) -> PathBuf {
        self.workspaces().join(id)
    }

    /// Uploaded bundles, until the content that comes from them is ready.
    pub fn sources(&self) -> PathBuf {
        self.root.join("sources")
    }

    /// What is being deleted: moved here first, so that a name is free at once and a crash leaves nothing half.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }
}

/// Makes a directory that only its owner may enter, also when it was there with other rights.
pub fn private_directory(path: &Path) -> Result<(), NodeError> {
    let doing = || format!("make the directory {}", path.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(NodeError::io(doing()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(NodeError::io(doing()))
}
