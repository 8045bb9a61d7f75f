//! Fakes of the ports: stricter than the real parts where the contract allows, and able to fail and to lose power. The
//! world of a fake node outlives the daemon on it, as containers and networks outlive the real one.

mod supervisor;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{PipeReader, PipeWriter};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use api::v1::{SupervisorConfig, Usage};
use domain::class::Class;
use parking_lot::Mutex;
use prost::Message as _;

use crate::error::NodeError;
use crate::ports::{
    ImageSettings, Images, InstanceNetwork, Networks, PreparedImage, Progress, Running, SandboxSpec, Sandboxes, WorkspaceUser,
};
pub use supervisor::{FakeSupervisor, Script};

/// Lets so many writes through and then none, as when the power goes.
#[derive(Debug)]
pub struct Fuse {
    left: AtomicI64,
    spent: AtomicU64,
}

impl Default for Fuse {
    fn default() -> Self {
        Self { left: AtomicI64::new(i64::MAX), spent: AtomicU64::new(0) }
    }
}

impl Fuse {
    /// The power goes after `writes` more.
    pub fn blow_after(&self, writes: i64) {
        self.left.store(writes, Ordering::SeqCst);
    }

    /// The power is back.
    pub fn mend(&self) {
        self.blow_after(i64::MAX);
    }

    /// Whether a write was refused.
    pub fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// How many writes there were.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::SeqCst)
    }

    pub(crate) fn spend(&self) -> anyhow::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            // Stays blown however often it is tried.
            self.left.store(-1, Ordering::SeqCst);
            anyhow::bail!("the power is gone");
        }
        self.spent.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A machine that runs fake containers.
#[derive(Default)]
pub struct FakeMachine {
    state: Mutex<Machine>,
    /// What supervisors that are started from now on do.
    pub script: Mutex<Script>,
}

#[derive(Default)]
struct Machine {
    prepared: BTreeSet<String>,
    running: BTreeMap<String, Container>,
    networks: BTreeMap<String, Ipv4Addr>,
    ports: BTreeMap<(String, u16), std::net::SocketAddr>,
    calls: Vec<String>,
    broken: BTreeMap<&'static str, BrokenCall>,
    usage: Usage,
    configs: Vec<SupervisorConfig>,
    tags_mean: Option<String>,
    collected: Vec<Vec<String>>,
}

type BrokenCall = fn() -> NodeError;

struct Container {
    end: PipeReader,
    alive: Option<PipeWriter>,
    supervisor: Option<FakeSupervisor>,
}

impl FakeMachine {
    /// A machine with nothing on it.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes a call ("image", "prepare", "start", "kill", "remove", "network") fail until it is mended.
    pub fn break_call(&self, call: &'static str, error: BrokenCall) {
        self.state.lock().broken.insert(call, error);
    }

    /// Makes a call work again.
    pub fn mend(&self, call: &str) {
        self.state.lock().broken.remove(call);
    }

    /// PID 1 of an instance ends by itself.
    pub fn end(&self, id: &str) {
        let container = self.state.lock().running.remove(id);
        drop(container);
    }

    /// From now on every tag means the image of this digest.
    pub fn move_tags(&self, digest: &str) {
        self.state.lock().tags_mean = Some(digest.into());
    }

    /// The digests that each call to collect was told to be in use.
    pub fn collected(&self) -> Vec<Vec<String>> {
        self.state.lock().collected.clone()
    }

    /// What containers are said to use.
    pub fn set_usage(&self, usage: Usage) {
        self.state.lock().usage = usage;
    }

    /// A port of an instance leads to an address of the test.
    pub fn serve_port(&self, id: &str, port: u16, at: std::net::SocketAddr) {
        self.state.lock().ports.insert((id.into(), port), at);
    }

    /// Ids of what exists in any form.
    pub fn left(&self) -> Vec<String> {
        let state = self.state.lock();
        let all: BTreeSet<_> = state.prepared.iter().chain(state.running.keys()).chain(state.networks.keys()).collect();
        all.into_iter().cloned().collect()
    }

    /// Ids of running containers.
    pub fn running(&self) -> Vec<String> {
        self.state.lock().running.keys().cloned().collect()
    }

    /// What was asked of the machine, in order: "start 3f…".
    pub fn calls(&self) -> Vec<String> {
        self.state.lock().calls.clone()
    }

    /// The configurations that supervisors were given, in order.
    pub fn configs(&self) -> Vec<SupervisorConfig> {
        self.state.lock().configs.clone()
    }

    /// The supervisor of a running instance.
    pub fn supervisor(&self, id: &str) -> Option<FakeSupervisor> {
        self.state.lock().running.get(id).and_then(|container| container.supervisor.clone())
    }

    fn call(&self, call: &'static str, id: &str) -> Result<(), NodeError> {
        let mut state = self.state.lock();
        state.calls.push(format!("{call} {id}"));
        state.broken.get(call).map_or(Ok(()), |error| Err(error()))
    }
}

/// Images that are always there.
pub struct FakeImages(pub Arc<FakeMachine>);

#[tonic::async_trait]
impl Images for FakeImages {
    async fn prepare(&self, reference: &str, progress: Progress) -> Result<PreparedImage, NodeError> {
        self.0.call("image", reference)?;
        progress(1, 1, "");
        let config = ImageSettings { env: vec![("PATH".into(), "/usr/bin".into())], ..ImageSettings::default() };
        let tags_mean = self.0.state.lock().tags_mean.clone().unwrap_or_else(|| "sha256:0a".into());
        let digest = match reference.split_once('@') {
            Some((_, pinned)) => pinned.to_owned(),
            None if reference == "host" => String::new(),
            None => tags_mean,
        };
        Ok(PreparedImage { reference: reference.into(), digest, root: "/".into(), config, hit: true, bytes: 0 })
    }

    async fn collect(&self, used: &[String]) -> Result<u64, NodeError> {
        self.0.state.lock().collected.push(used.to_vec());
        Ok(0)
    }
}

/// Networks that are only names.
pub struct FakeNetworks(pub Arc<FakeMachine>);

#[tonic::async_trait]
impl Networks for FakeNetworks {
    async fn create(&self, instance_id: &str) -> Result<InstanceNetwork, NodeError> {
        self.0.call("network", instance_id)?;
        let mut state = self.0.state.lock();
        let next = Ipv4Addr::new(10, 201, 0, state.networks.len() as u8 * 4 + 2);
        let address = *state.networks.entry(instance_id.into()).or_insert(next);
        Ok(InstanceNetwork { namespace: PathBuf::from("/nowhere"), address, resolv_conf: String::new() })
    }

    async fn remove(&self, instance_id: &str) -> Result<(), NodeError> {
        assert!(!self.0.state.lock().running.contains_key(instance_id), "a network under a running container is taken away");
        self.0.state.lock().networks.remove(instance_id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, NodeError> {
        Ok(self.0.state.lock().networks.keys().cloned().collect())
    }

    async fn dial(&self, instance_id: &str, port: u16) -> Result<OwnedFd, NodeError> {
        let address = self.0.state.lock().ports.get(&(instance_id.to_owned(), port)).copied();
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let connected = address.ok_or_else(refused).and_then(std::net::TcpStream::connect);
        connected.map(OwnedFd::from).map_err(NodeError::io(format!("connect to port {port}")))
    }
}

/// Containers whose PID 1 is a supervisor in the test.
pub struct FakeSandboxes(pub Arc<FakeMachine>);

#[tonic::async_trait]
impl Sandboxes for FakeSandboxes {
    async fn prepare(&self, spec: &SandboxSpec) -> Result<WorkspaceUser, NodeError> {
        self.0.call("prepare", &spec.id)?;
        let mut state = self.0.state.lock();
        assert!(state.networks.contains_key(&spec.id), "a root is prepared before its network");
        assert!(!state.running.contains_key(&spec.id), "a root is prepared under a running container");
        state.prepared.insert(spec.id.clone());
        Ok(WorkspaceUser {
            name: "crannog".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/crannog".into(),
            shell: "/bin/sh".into(),
            path_prepend: Vec::new(),
            env: Vec::new(),
        })
    }

    async fn start(&self, spec: &SandboxSpec, api: OwnedFd, config: &[u8]) -> Result<Running, NodeError> {
        self.0.call("start", &spec.id)?;
        let config = SupervisorConfig::decode(config)
            .map_err(|source| NodeError::Inside { doing: "decode".into(), source: source.into() })?;
        let (end, alive) = std::io::pipe().map_err(NodeError::io("make a pipe"))?;
        let script = self.0.script.lock().clone();
        let supervisor = FakeSupervisor::start(api, config.clone(), script, self.0.clone(), spec.id.clone())?;
        let mut state = self.0.state.lock();
        assert!(state.prepared.contains(&spec.id), "a container is started before its root");
        state.configs.push(config);
        let pidfd = end.try_clone().map_err(NodeError::io("clone a pipe"))?.into();
        let container = Container { end, alive: Some(alive), supervisor: Some(supervisor) };
        assert!(state.running.insert(spec.id.clone(), container).is_none(), "a container is started twice");
        Ok(Running { pid: 1, pidfd })
    }

    async fn find(&self, id: &str) -> Result<Option<Running>, NodeError> {
        let state = self.0.state.lock();
        let Some(container) = state.running.get(id) else { return Ok(None) };
        let pidfd = container.end.try_clone().map_err(NodeError::io("clone a pipe"))?.into();
        Ok(Some(Running { pid: 1, pidfd }))
    }

    async fn kill(&self, id: &str, signal: i32) -> Result<(), NodeError> {
        self.0.call("kill", id)?;
        if signal == 9 {
            self.0.end(id);
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), NodeError> {
        self.0.call("remove", id)?;
        self.0.end(id);
        self.0.state.lock().prepared.remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, NodeError> {
        let state = self.0.state.lock();
        Ok(state.prepared.iter().chain(state.running.keys()).cloned().collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn usage(&self, _id: &str) -> Result<Usage, NodeError> {
        Ok(self.0.state.lock().usage)
    }
}

impl Drop for Container {
    /// PID 1 holds the listening socket: with it, nobody answers any more.
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.die();
        }
        self.alive = None;
    }
}

/// An image that does not exist.
pub fn no_such_image() -> NodeError {
    NodeError::refused(
        Class::NotFound,
        "ImageNotFound",
        "the registry has no image \"app:latest\"",
        "check the name of the image",
    )
}
