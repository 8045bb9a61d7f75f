//! What the port's calls do, one after the other. All of it blocks and bears repeating.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::class::Class;
use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

use super::overlay::{self, Layers, OverlayError, Step};
use super::root_dir::{Owner, RootDir};
use super::scaffold::Entry;
use super::user::UserError;
use super::{Inner, checked, is_host, sudo, user};
use crate::error::NodeError;
use crate::ports::{Running, SandboxSpec, WorkspaceUser};
use crate::runtime::bundle::{self, Parts, Shown};
use crate::runtime::{Creation, State};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MOUNT_POINTS: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/.crannog"];
const ETC_FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

impl Inner {
    pub(super) fn prepare(&self, spec: &SandboxSpec) -> Result<WorkspaceUser, NodeError> {
        checked(&spec.id)?;
        let shown = self.shown(spec);
        let root = RootDir::new(self.assemble(spec, &shown)?, spec.layer.range.base);
        let account = user::ensure(&root, &spec.image.config.user).map_err(refuse_user)?;
        let fill = || -> io::Result<()> {
            let owner = Owner { uid: account.uid, gid: account.gid, mode: 0o755 };
            if !root.make_dir("/workspace", owner)? && root.owner_of("/workspace") == Some(0) {
                root.chown_dir("/workspace", owner)?;
            }
            ETC_FILES.iter().try_for_each(|file| root.make_plain_file(file))?;
            if spec.allow_sudo { sudo::allow(&root, &account, &self.supervisor) } else { Ok(()) }
        };
        fill().map_err(NodeError::io(format!("prepare the root of {}", spec.id)))?;
        let (path_prepend, env) = self.surroundings(spec, &account.home);
        Ok(WorkspaceUser {
            name: account.name,
            uid: account.uid,
            gid: account.gid,
            home: account.home,
            shell: account.shell,
            path_prepend,
            env,
        })
    }

    pub(super) fn start(&self, spec: &SandboxSpec, api: OwnedFd, config: &[u8]) -> Result<Running, NodeError> {
        checked(&spec.id)?;
        // What an earlier attempt left half made is in the way.
        self.clear(&spec.id)?;
        let (bundle, cgroup) = (self.bundle(&spec.id), self.cgroups.of(&spec.id));
        fs::create_dir_all(&bundle).map_err(NodeError::io(format!("make the bundle of {}", spec.id)))?;
        cgroup.create(&spec.limits).map_err(NodeError::io(format!("make the control groups of {}", spec.id)))?;
        let shown = self.shown(spec);
        let root = self.assemble(spec, &shown)?;
        let parts =
            Parts { supervisor: &self.supervisor, cgroup: cgroup.path(), shown: &shown, cgroup_mount: self.cgroups.is_unified() };
        bundle::write(&bundle, spec, &parts)?;
        let config = sealed(config).map_err(NodeError::io(format!("write the supervisor's configuration for {}", spec.id)))?;
        let log = self.log(&spec.id).map_err(NodeError::io(format!("open the log of {}", spec.id)))?;
        self.runtime.create(Creation { id: spec.id.clone(), bundle: bundle.clone(), root, api, config, log })?;
        self.runtime.start(&spec.id, &bundle)?;
        self.find(&spec.id)?.ok_or_else(|| NodeError::Inside {
            doing: format!("start {}", spec.id),
            source: anyhow::anyhow!(
                "PID 1 ended as soon as it was started; see its log in {}",
                self.instance(&spec.id).display()
            ),
        })
    }

    pub(super) fn find(&self, id: &str) -> Result<Option<Running>, NodeError> {
        let doing = || format!("look for the processes of {id}");
        let cgroup = self.cgroups.of(id);
        let Some(pid) = cgroup.init().map_err(NodeError::io(doing()))? else { return Ok(None) };
        if self.runtime.state(id, &self.bundle(id))? != State::Running {
            return Ok(None);
        }
        let Some(number) = rustix::process::Pid::from_raw(pid) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(NodeError::Io { doing: doing(), source: error.into() }),
        };
        // The number may have been given to another process before the descriptor was had, but not in this group.
        Ok(cgroup.contains(pid).then_some(Running { pid, pidfd }))
    }

    pub(super) fn kill(&self, id: &str, signal: i32) -> Result<(), NodeError> {
        if signal == Signal::SIGKILL as i32 {
            return self.cgroups.of(id).kill().map_err(NodeError::io(format!("kill the processes of {id}")));
        }
        match self.find(id)? {
            Some(_) => self.runtime.kill(id, &self.bundle(id), signal),
            None => Ok(()),
        }
    }

    pub(super) fn remove(&self, id: &str) -> Result<(), NodeError> {
        self.clear(id)?;
        let bundle = self.bundle(id);
        remove_dir(&bundle).map_err(NodeError::io(format!("remove {}", bundle.display())))?;
        self.cgroups.remove_parent_if_empty();
        Ok(())
    }

    /// Those with a bundle: it is made before everything else and removed after it. Not by control groups, which daemons
    /// with other data directories on this machine have too.
    pub(super) fn list(&self) -> Result<Vec<String>, NodeError> {
        let instances = self.data.join("instances");
        let mut ids: Vec<String> = match fs::read_dir(&instances) {
            Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(NodeError::Io { doing: format!("list {}", instances.display()), source: error }),
        };
        ids.retain(|id| self.bundle(id).exists());
        ids.sort();
        Ok(ids)
    }

    /// Processes, groups and the runtime's state; the bundle stays.
    fn clear(&self, id: &str) -> Result<(), NodeError> {
        let cgroup = self.cgroups.of(id);
        cgroup.kill().map_err(NodeError::io(format!("kill the processes of {id}")))?;
        self.runtime.delete(id, &self.bundle(id))?;
        cgroup.remove().map_err(NodeError::io(format!("remove the control groups of {id}")))
    }

    fn assemble(&self, spec: &SandboxSpec, shown: &[Shown]) -> Result<OwnedFd, NodeError> {
        let doing = || format!("make the root of {}", spec.id);
        let at = overlay::workplace(&self.bundle(&spec.id));
        fs::create_dir_all(&at).map_err(NodeError::io(doing()))?;
        own_upper(&spec.layer).map_err(NodeError::io(doing()))?;
        let scaffold = self.scaffold(spec, shown).map_err(NodeError::io(doing()))?;
        let layers = Layers { image: &spec.image.root, writable: &spec.layer, scaffold: &scaffold, at: &at };
        overlay::assemble(&layers).map_err(|error| refuse_overlay(&spec.id, is_host(spec), error))
    }

    fn scaffold(&self, spec: &SandboxSpec, shown: &[Shown]) -> io::Result<Vec<Entry>> {
        let mut entries = if is_host(spec) { self.host.scaffold()? } else { Vec::new() };
        entries.extend(MOUNT_POINTS.iter().map(|path| Entry::Directory(PathBuf::from(path))));
        let file = |path: &Path| Entry::File { path: path.to_owned(), bytes: Vec::new(), mode: 0o644, gid: 0 };
        entries.extend(ETC_FILES.iter().map(|path| file(Path::new(path))));
        entries.push(file(Path::new(bundle::SUPERVISOR)));
        for (source, target) in shown.iter().map(|shown| (&shown.source, &shown.target)).chain(binds(spec)) {
            let is_dir = fs::metadata(source)?.is_dir();
            entries.push(if is_dir { Entry::Directory(target.clone()) } else { file(target) });
        }
        Ok(entries)
    }

    fn shown(&self, spec: &SandboxSpec) -> Vec<Shown> {
        if is_host(spec) { self.host.shown() } else { Vec::new() }
    }

    /// Directories for PATH, and variables: the image's, and for the machine's own image its toolchains'.
    fn surroundings(&self, spec: &SandboxSpec, home: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut env = spec.image.config.env.clone();
        let mut path = Vec::new();
        if is_host(spec) {
            path = self.host.path(home);
            env.extend(self.host.environment(&self.environment));
        }
        if !env.iter().any(|(name, _)| name == "PATH") {
            env.push(("PATH".into(), DEFAULT_PATH.into()));
        }
        (path, env)
    }

    /// Where the engine keeps logs, if it does.
    fn log(&self, id: &str) -> io::Result<OwnedFd> {
        let directory = self.instance(id).join("logs");
        if !directory.is_dir() {
            return Ok(fs::OpenOptions::new().write(true).open("/dev/null")?.into());
        }
        let mut options = fs::OpenOptions::new();
        Ok(options.append(true).create(true).mode(0o600).open(directory.join("supervisor.log"))?.into())
    }
}

fn binds(spec: &SandboxSpec) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
    spec.read_only_binds.iter().map(|(source, target)| (source, target))
}

/// The top of the writable layer is the top of the root: it is the container's root's, and everybody may look.
fn own_upper(layer: &crate::ports::WritableLayer) -> io::Result<()> {
    std::os::unix::fs::chown(&layer.upper, Some(layer.range.base), Some(layer.range.base))?;
    fs::set_permissions(&layer.upper, fs::Permissions::from_mode(0o755))
}

fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    sys::memfd::sealed("crannog-config", bytes)
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies the supervisor to `bin/supervisor-DIGEST`, so that an upgrade does not change what runs. Bears repeating.
pub(super) fn install(supervisor: &Path, bin: &Path) -> Result<PathBuf, NodeError> {
    let bytes = fs::read(supervisor).map_err(|error| {
        NodeError::refused(
            Class::FailedPrecondition,
            "SupervisorMissing",
            format!("the supervisor {} cannot be read: {error}", supervisor.display()),
            "build it with `cargo xtask up`, or name it in the configuration",
        )
    })?;
    let target = bin.join(format!("supervisor-{}", &hex::encode(Sha256::digest(&bytes))[..16]));
    let write = || -> io::Result<()> {
        fs::create_dir_all(bin)?;
        let new = bin.join(format!(".supervisor-{}", std::process::id()));
        fs::write(&new, &bytes)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o555))?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, &target)
    };
    if !target.exists() {
        write().map_err(NodeError::io(format!("copy the supervisor to {}", target.display())))?;
    }
    Ok(target)
}

/// Says early what would fail at every start.
pub(super) fn check_machine() -> Result<(), NodeError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(NodeError::refused(
            Class::Unimplemented,
            "NotRoot",
            "containers can only be made by root on this version",
            "start the server with sudo",
        ));
    }
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_built_in = file_systems.lines().any(|line| line.trim_end().ends_with("overlay"));
    if !is_built_in && !Path::new("/sys/module/overlay").exists() {
        // Asked for by its name, the kernel may load it still: only a hint then, and the mount says the rest.
        tracing::warn!("overlayfs is not loaded; `modprobe overlay` loads it");
    }
    Ok(())
}

fn refuse_user(error: UserError) -> NodeError {
    let message = error.to_string();
    match error {
        UserError::Io(_, source) => NodeError::Io { doing: message, source },
        UserError::Unusable(_) => NodeError::refused(
            Class::FailedPrecondition,
            "ImageUserUnusable",
            message,
            "give the image a user in /etc/passwd with an id between 1 and 65533, or no USER at all",
        ),
        UserError::NoShell => NodeError::refused(
            Class::FailedPrecondition,
            "ImageWithoutShell",
            message,
            "use an image with a shell and git, or `--image host` for this machine's own tools",
        ),
    }
}

fn refuse_overlay(id: &str, is_host: bool, error: OverlayError) -> NodeError {
    let (reason, hint) = match error.step {
        Step::UserNamespace => (
            "NoUserNamespaces",
            "allow user namespaces: `sysctl user.max_user_namespaces=15000`, and a kernel built with CONFIG_USER_NS",
        ),
        Step::MapImage if is_host => (
            "NoIdMappedMounts",
            "the machine's root file system cannot be id-mapped (overlay and network file systems cannot): use an image, \
             or a machine whose root is on ext4, xfs or btrfs with Linux 5.19 or newer",
        ),
        Step::MapImage => ("NoIdMappedMounts", "put the data directory on ext4, xfs or btrfs and use Linux 5.19 or newer"),
        Step::Overlay => {
            ("NoOverlay", "load overlayfs (`modprobe overlay`) and put the data directory on a local ext4, xfs or btrfs")
        }
        Step::Namespace | Step::Scaffold => {
            return NodeError::Io { doing: format!("make the root of {id}: {error}"), source: error.source };
        }
    };
    if matches!(error.source.raw_os_error(), Some(code) if code == nix::errno::Errno::ENOSPC as i32)
        && error.step != Step::UserNamespace
    {
        return NodeError::Io { doing: format!("make the root of {id}: {error}"), source: error.source };
    }
    let message = format!("the root of {id} cannot be made on this machine: {error}: {}", error.source);
    NodeError::refused(Class::Unimplemented, reason, message, hint)
}
