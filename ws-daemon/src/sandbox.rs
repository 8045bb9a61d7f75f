//! Containers with their root file systems: [`Sandboxer`] is the real [`Sandboxes`](crate::ports::Sandboxes).
//!
//! prepare: layers → overlay (`overlay`, detached) → workspace user, `sudo`, mount points (`user`, `sudo`, `root_dir`)
//! start:   cgroup with limits → bundle → overlay again → [`runtime`](crate::runtime) create, start → pidfd
//! remove:  kill by cgroup → runtime state → cgroup → bundle
//!
//! What is kept: `DATA/node/instances/ID/bundle/` and the cgroups. There are no mounts in the machine's namespace, and a
//! container is found again by its cgroup, so it does not matter when the daemon dies.

mod accounts;
mod lifecycle;
mod overlay;
mod root_dir;
pub mod scaffold;
mod sudo;
mod user;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cgroup::Cgroups;
use crate::error::NodeError;
use crate::host_image::HostImage;
use crate::ports::{Running, SandboxSpec, Sandboxes, WorkspaceUser};
use crate::runtime::{Embedded, External, Runtime};

pub(crate) use overlay::mapped_tree;

/// What containers are made with.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// `DATA/node`.
    pub data: PathBuf,
    /// The supervisor: a static program; also `sudo` in images that have none.
    pub supervisor: PathBuf,
    /// Name of the cgroup that all instances are in: "crannog", or with a part of its own for each data directory.
    pub cgroup_parent: String,
    /// An OCI runtime to use instead of the embedded one: "runc".
    pub runtime: Option<PathBuf>,
    /// The program to start as the embedded runtime's helper; `None`: this one. For tests.
    pub helper: Option<PathBuf>,
    /// How the machine itself is shown as an image.
    pub host: HostImage,
}

impl SandboxConfig {
    /// Defaults. `data` is `DATA/node`.
    pub fn new(data: impl Into<PathBuf>, supervisor: impl Into<PathBuf>) -> Self {
        let data = data.into();
        let host = HostImage { hide: vec![data.clone()], ..HostImage::default() };
        Self { data, supervisor: supervisor.into(), cgroup_parent: "crannog".into(), runtime: None, helper: None, host }
    }
}

/// Makes containers on this machine.
pub struct Sandboxer {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    supervisor: PathBuf,
    cgroups: Cgroups,
    host: HostImage,
    runtime: Box<dyn Runtime>,
    /// The machine's own variables that instances of the image `host` see too.
    environment: BTreeMap<String, String>,
}

impl Sandboxer {
    /// Checks what can be checked before the first instance, and copies the supervisor to where it is shown from.
    pub fn new(config: SandboxConfig) -> Result<Self, NodeError> {
        lifecycle::check_machine()?;
        let helper = config.helper.as_deref();
        let runtime: Box<dyn Runtime> = match &config.runtime {
            Some(program) => Box::new(External::new(program, helper)?),
            None => Box::new(Embedded::new(helper)?),
        };
        let supervisor = lifecycle::install(&config.supervisor, &config.data.join("bin"))?;
        let cgroups = Cgroups::discover(&config.cgroup_parent).map_err(NodeError::io("look for control groups"))?;
        let environment = std::env::vars().collect();
        let inner = Inner { data: config.data, supervisor, cgroups, host: config.host, runtime, environment };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Everything here waits for the kernel, so it runs where waiting is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| NodeError::Inside { doing: "wait for a sandbox".into(), source: error.into() })?
    }
}

impl Inner {
    fn bundle(&self, id: &str) -> PathBuf {
        self.instance(id).join("bundle")
    }

    fn instance(&self, id: &str) -> PathBuf {
        self.data.join("instances").join(id)
    }
}

#[tonic::async_trait]
impl Sandboxes for Sandboxer {
    async fn prepare(&self, spec: &SandboxSpec) -> Result<WorkspaceUser, NodeError> {
        let spec = spec.clone();
        self.blocking(move |inner| inner.prepare(&spec)).await
    }

    async fn start(&self, spec: &SandboxSpec, api: OwnedFd, config: &[u8]) -> Result<Running, NodeError> {
        let (spec, config) = (spec.clone(), config.to_owned());
        self.blocking(move |inner| inner.start(&spec, api, &config)).await
    }

    async fn find(&self, id: &str) -> Result<Option<Running>, NodeError> {
        let id = checked(id)?;
        self.blocking(move |inner| inner.find(&id)).await
    }

    async fn kill(&self, id: &str, signal: i32) -> Result<(), NodeError> {
        let id = checked(id)?;
        self.blocking(move |inner| inner.kill(&id, signal)).await
    }

    async fn remove(&self, id: &str) -> Result<(), NodeError> {
        let id = checked(id)?;
        self.blocking(move |inner| inner.remove(&id)).await
    }

    async fn list(&self) -> Result<Vec<String>, NodeError> {
        self.blocking(Inner::list).await
    }

    async fn usage(&self, id: &str) -> Result<api::v1::Usage, NodeError> {
        let id = checked(id)?;
        self.blocking(move |inner| Ok(inner.cgroups.of(&id).usage())).await
    }
}

/// Ids become parts of paths.
fn checked(id: &str) -> Result<String, NodeError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !id.is_empty() && id.len() <= 64 && id.chars().all(is_plain) {
        return Ok(id.to_owned());
    }
    Err(NodeError::refused(
        domain::class::Class::InvalidArgument,
        "InvalidInstanceId",
        format!("{id:?} is not an instance id"),
        "use the id as `crannog list` shows it",
    ))
}

/// Whether something is the machine itself, shown as an image.
fn is_host(spec: &SandboxSpec) -> bool {
    spec.image.root == Path::new("/")
}
