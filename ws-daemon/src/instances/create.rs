//! From a prepared instance to a running container: the root, the listening socket, the supervisor's configuration.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use api::v1::{InstanceSpec, SupervisorConfig};
use prost::Message as _;

use super::environment;
use super::message::Prepared;
use super::prepare::within;
use super::timeline::Timeline;
use crate::error::NodeError;
use crate::layout;
use crate::ports::{Running, SandboxSpec, WorkspaceUser};
use crate::world::World;

/// Where the bundle is seen inside.
const BUNDLE_INSIDE: &str = "/.crannog/source.bundle";
/// Where the `supervisor` package listens inside, on loopback.
const API_PORT: u32 = 22_999;

/// Makes the container and starts it, or finds it started by an earlier life of this daemon.
pub async fn create(world: &World, spec: &InstanceSpec, prepared: &Prepared, timeline: &Timeline) -> Result<Running, NodeError> {
    if let Some(running) = world.sandboxes.find(&spec.id).await? {
        return Ok(running);
    }
    let limit = world.limits.sandbox;
    let sandbox = sandbox_spec(spec, prepared);
    let user = timeline.run("rootfs", within(limit, "sandbox", world.sandboxes.prepare(&sandbox)), |_, _| {}).await?;
    let config = supervisor_config(spec, prepared, user).encode_to_vec();
    let start = async {
        let socket = listen(world, &spec.id)?;
        within(limit, "sandbox", world.sandboxes.start(&sandbox, socket, &config)).await
    };
    timeline.run("runtime", start, |_, _| {}).await
}

/// Binds the socket that PID 1 will listen on, in a directory that nobody else may enter.
pub fn listen(world: &World, id: &str) -> Result<OwnedFd, NodeError> {
    let path = world.layout.supervisor_socket(id);
    let doing = || format!("listen at {}", path.display());
    for directory in [world.layout.instance(id), world.layout.instance(id).join("run"), world.layout.instance(id).join("logs")] {
        layout::private_directory(&directory)?;
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(NodeError::io(doing())(error)),
        _ => sys::fd_pass::listen_stream(&path).map_err(NodeError::io(doing())),
    }
}

fn sandbox_spec(spec: &InstanceSpec, prepared: &Prepared) -> SandboxSpec {
    let bundle = prepared.bundle.clone().map(|path| (path, PathBuf::from(BUNDLE_INSIDE)));
    SandboxSpec {
        id: spec.id.clone(),
        hostname: spec.workspace_name.clone(),
        image: prepared.image.clone(),
        layer: prepared.layer.clone(),
        network: prepared.network.clone(),
        limits: spec.resources.unwrap_or_default(),
        allow_sudo: spec.allow_sudo,
        read_only_binds: bundle.into_iter().collect(),
    }
}

fn supervisor_config(spec: &InstanceSpec, prepared: &Prepared, user: WorkspaceUser) -> SupervisorConfig {
    SupervisorConfig {
        env: environment::merge(&prepared.image.config, &user, spec),
        spec: Some(spec.clone()),
        user: user.name,
        uid: user.uid,
        gid: user.gid,
        home: user.home,
        shell: user.shell,
        path_prepend: user.path_prepend,
        bundle_path: prepared.bundle.as_ref().map(|_| BUNDLE_INSIDE.to_owned()).unwrap_or_default(),
        content_ready: prepared.content_ready,
        run_init: spec.run_init && !prepared.init_done,
        credentials: Vec::new(),
        api_port: API_PORT,
    }
}

/// The configuration of a throw-away instance that only answers `Resolve`.
pub fn job_config(spec: &InstanceSpec, prepared: &Prepared, user: WorkspaceUser) -> SupervisorConfig {
    supervisor_config(spec, prepared, user)
}

/// What a throw-away instance is made from.
pub fn job_sandbox(spec: &InstanceSpec, prepared: &Prepared) -> SandboxSpec {
    sandbox_spec(spec, prepared)
}
