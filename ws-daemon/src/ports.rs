//! What ws-daemon needs from the world: the traits that `app` fills with real parts and tests with fakes.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::NodeError;

/// 65,536 ids of the node that belong to one instance: id `n` inside is `base + n` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First uid and gid on the node.
    pub base: u32,
}

impl IdRange {
    /// How many ids a range has.
    pub const SIZE: u32 = 65_536;
}

/// Told how far a step has come, as it goes: bytes so far, bytes in all (0: not known), and a word for people.
pub type Progress = Arc<dyn Fn(u64, u64, &str) + Send + Sync>;

/// An image that is on this node, ready to be a lower.
#[derive(Debug, Clone)]
pub struct PreparedImage {
    /// What was asked for: "host" or a reference.
    pub reference: String,
    /// Manifest digest; empty for "host".
    pub digest: String,
    /// The root directory, with container ids (0..65535) as its owners. For "host": "/".
    pub root: PathBuf,
    /// The image's configuration.
    pub config: ImageSettings,
    /// Whether nothing had to be fetched.
    pub hit: bool,
    /// Bytes fetched.
    pub bytes: u64,
}

/// The parts of an OCI image configuration that an instance uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// `NAME=value`, in order.
    pub env: Vec<(String, String)>,
    /// `User`, as written: "gitpod", "1000", "1000:1000"; empty for root.
    pub user: String,
    /// `WorkingDir`.
    pub working_directory: String,
}

/// Images by reference. Pulls are single-flight, resumable, verified, applied once.
#[tonic::async_trait]
pub trait Images: Send + Sync + 'static {
    /// Makes an image ready on this node.
    async fn prepare(&self, reference: &str, progress: Progress) -> Result<PreparedImage, NodeError>;
    /// Removes what no reference in `used` (digests) needs; returns bytes freed.
    async fn collect(&self, used: &[String]) -> Result<u64, NodeError>;
}

/// Where a workspace's own writes live between starts.
#[derive(Debug, Clone)]
pub struct WritableLayer {
    /// Overlay upper, on the node.
    pub upper: PathBuf,
    /// Overlay work directory, same file system.
    pub work: PathBuf,
    /// Whether the workspace had content here already.
    pub found: bool,
    /// The range whose ids own what is in `upper`.
    pub range: IdRange,
}

/// Keeps what a workspace wrote. The node-local one keeps the directory where it is; a content store saves it.
#[tonic::async_trait]
pub trait WorkspaceContent: Send + Sync + 'static {
    /// Opens (or makes) the writable layer of a workspace.
    async fn open(&self, workspace_id: &str) -> Result<WritableLayer, NodeError>;
    /// Makes what the stopped workspace wrote durable. Bears repeating.
    async fn keep(&self, workspace_id: &str) -> Result<(), NodeError>;
    /// Forgets a workspace for good, its id range included.
    async fn forget(&self, workspace_id: &str) -> Result<(), NodeError>;
    /// Bytes that a workspace holds on this node.
    async fn size(&self, workspace_id: &str) -> Result<u64, NodeError>;
}

/// The network of one instance.
#[derive(Debug, Clone)]
pub struct InstanceNetwork {
    /// The namespace, bound to a file.
    pub namespace: PathBuf,
    /// Its address; one of a /30 of the node's private range, quarantined after use.
    pub address: Ipv4Addr,
    /// The text for `/etc/resolv.conf`.
    pub resolv_conf: String,
}

/// Network namespaces with a way out and no way in.
#[tonic::async_trait]
pub trait Networks: Send + Sync + 'static {
    /// Makes the network of an instance; finds it when it is there already.
    async fn create(&self, instance_id: &str) -> Result<InstanceNetwork, NodeError>;
    /// Takes it away. Bears repeating.
    async fn remove(&self, instance_id: &str) -> Result<(), NodeError>;
    /// Ids of all that exist.
    async fn list(&self) -> Result<Vec<String>, NodeError>;
    /// A socket made inside the namespace and connected to a port on its loopback (127.0.0.1, then ::1).
    async fn dial(&self, instance_id: &str, port: u16) -> Result<OwnedFd, NodeError>;
}

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Instance id; also the container id.
    pub id: String,
    /// Host name inside.
    pub hostname: String,
    /// The lower.
    pub image: PreparedImage,
    /// The upper, and the id range.
    pub layer: WritableLayer,
    /// The network to join.
    pub network: InstanceNetwork,
    /// CPU (thousandths), memory (bytes), pids; 0: no limit.
    pub limits: api::v1::Resources,
    /// Whether root may be had inside by `sudo`; if not, `no_new_privs` is set.
    pub allow_sudo: bool,
    /// Files and directories shown inside, read-only: (on the node, inside).
    pub read_only_binds: Vec<(PathBuf, PathBuf)>,
}

/// What was found or made inside a prepared root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceUser {
    /// Login name.
    pub name: String,
    /// Uid inside.
    pub uid: u32,
    /// Gid inside.
    pub gid: u32,
    /// Home directory inside; exists.
    pub home: String,
    /// Login shell; exists.
    pub shell: String,
    /// Directories of toolchains to put first on PATH, inside.
    pub path_prepend: Vec<String>,
    /// Variables that toolchains and image need.
    pub env: Vec<(String, String)>,
}

/// A started container.
#[derive(Debug)]
pub struct Running {
    /// PID 1 of the container, as the node sees it.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
}

/// Containers with their root file systems: isolation lives here.
#[tonic::async_trait]
pub trait Sandboxes: Send + Sync + 'static {
    /// Mounts the root and makes the workspace user. Bears repeating.
    async fn prepare(&self, spec: &SandboxSpec) -> Result<WorkspaceUser, NodeError>;
    /// Creates and starts the container: the supervisor, with the listening socket and its configuration.
    async fn start(&self, spec: &SandboxSpec, api: OwnedFd, config: &[u8]) -> Result<Running, NodeError>;
    /// Finds a container that was started, also by an earlier life of this daemon. `None` when it does not run.
    async fn find(&self, id: &str) -> Result<Option<Running>, NodeError>;
    /// Sends a signal to PID 1; SIGKILL goes to every process of the container.
    async fn kill(&self, id: &str, signal: i32) -> Result<(), NodeError>;
    /// Takes away processes, mounts, cgroups and state. Bears repeating, at any stage of `prepare` and `start`.
    async fn remove(&self, id: &str) -> Result<(), NodeError>;
    /// Ids of all of which anything exists.
    async fn list(&self) -> Result<Vec<String>, NodeError>;
    /// What a running one uses.
    async fn usage(&self, id: &str) -> Result<api::v1::Usage, NodeError>;
}

/// Uploaded Git bundles, by digest.
#[tonic::async_trait]
pub trait Sources: Send + Sync + 'static {
    /// Puts a file with the bundle at `path` on the node's file system, verified: fetched from the orchestrator when it is
    /// not on this node. The file stays there whatever becomes of the source.
    async fn fetch(&self, digest: &str, path: &Path, progress: Progress) -> Result<(), NodeError>;
    /// Drops the file; the content that comes from it is ready. Bears repeating.
    async fn drop_source(&self, digest: &str) -> Result<(), NodeError>;
}
