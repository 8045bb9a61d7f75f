//! The helper: this binary, started again with a hidden first word, single-threaded, as root. It sets a stage of its own
//! (`stage`), rewrites the bundle for it, and lets libcontainer or an external runtime make the container.
//!
//! ```text
//! descriptors  0 null · 1 answer · 2 log · 3 api · 4 config · 5 root · 6 log of PID 1
//! bundle/config.json          what is wanted: a plain OCI bundle
//! bundle/staged/config.json   the same with the sources of its mounts on the stage; gone with the bundle
//! ```
//! No program of the container runs while the helper does, and the helper's own binary is on a read-only mount besides
//! (`embedded::own_binary`): there is nothing to overwrite (TM-07).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::{CloneFlags, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oci_spec::runtime::{Capability, LinuxNamespace, LinuxNamespaceType, Mount, PosixRlimitType, Spec};

use super::executor::{Confined, NEEDED};
use super::stage::Stage;
use crate::cgroup::Cgroups;

/// The hidden word.
pub const WORD: &str = "oci-runtime-helper";

const ROOT_FD: i32 = 5;
const LOG_FD: i32 = 6;
/// API socket and configuration go on to PID 1.
const PRESERVED: i32 = 2;

/// Line one of every `main`: where this process is the helper it does its work and exits, else nothing happens.
/// Must be called before any thread is started.
pub fn reexec() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|word| word != WORD) {
        return;
    }
    let arguments: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let code = match act(&arguments) {
        Ok(()) => 0,
        Err(error) => {
            print!("{error:#}");
            1
        }
    };
    let _ = io::Write::flush(&mut io::stdout());
    std::process::exit(code)
}

fn act(arguments: &[PathBuf]) -> anyhow::Result<()> {
    let words: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
    match words.as_slice() {
        [verb, states, id, bundle] if *verb == Path::new("create") => create(states, &text(id), bundle),
        [verb, states, id] if *verb == Path::new("start") => start(&states.join(id)),
        [verb, states, id, bundle, program] if *verb == Path::new("external") => external(states, &text(id), bundle, program),
        _ => anyhow::bail!("this word is for the daemon's own use"),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn create(states: &Path, id: &str, bundle: &Path) -> anyhow::Result<()> {
    let mut spec = Spec::load(bundle.join("config.json")).context("read the bundle")?;
    let executor = confine(&spec)?;
    let staged = stage(&mut spec, states, bundle)?;
    loosen(&mut spec);
    spec.save(staged.join("config.json")).context("write the staged bundle")?;
    let log = sys::inherit::take(LOG_FD).context("take the log")?;
    ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(states)?
        .with_executor(executor)
        .with_preserved_fds(PRESERVED)
        .with_stdin(fs::File::open("/dev/null").context("open /dev/null")?)
        .with_stdout(log.try_clone().context("share the log")?)
        .with_stderr(log)
        .as_init(&staged)
        .with_systemd(false)
        .build()
        .map_err(|error| anyhow::anyhow!("{}", chain(&error)))
        .context("create the container")?;
    Ok(())
}

fn start(state: &Path) -> anyhow::Result<()> {
    let mut container = Container::load(state.to_path_buf()).context("read the container's state")?;
    container.start().map_err(|error| anyhow::anyhow!("{}", chain(&error))).context("start the container")
}

/// Becomes the runtime `program`, on the stage.
fn external(states: &Path, id: &str, bundle: &Path, program: &Path) -> anyhow::Result<()> {
    let mut spec = Spec::load(bundle.join("config.json")).context("read the bundle")?;
    let staged = stage(&mut spec, states, bundle)?;
    spec.save(staged.join("config.json")).context("write the staged bundle")?;
    let log = sys::inherit::take(LOG_FD).context("take the log")?;
    let error = std::os::unix::process::CommandExt::exec(
        Command::new(program)
            .arg("--log")
            .arg(staged.join("runtime.log"))
            .arg("--root")
            .arg(states)
            .args(["create", "--preserve-fds", &PRESERVED.to_string(), "--bundle"])
            .arg(&staged)
            .arg(id)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log),
    );
    Err(error).with_context(|| format!("execute {}", program.display()))
}

/// Joins the control groups, enters the network namespace, sets the stage, and points the specification at it.
fn stage(spec: &mut Spec, states: &Path, bundle: &Path) -> anyhow::Result<PathBuf> {
    // First of all: whatever is forked from here on can be found and killed by the group, whoever dies when.
    let group = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).context("the bundle has no cgroupsPath")?;
    Cgroups::at(&group).and_then(|group| group.join()).context("join the control groups")?;
    enter_network(spec)?;
    let mounts = spec.mounts().clone().unwrap_or_default();
    let mut in_use: Vec<&Path> = vec![states, bundle];
    in_use.extend(mounts.iter().filter_map(|mount| mount.source().as_deref()));
    let mut stage = Stage::set(&in_use).context("set the stage")?;
    let base = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().as_ref()?.first().map(|map| map.host_id()));
    let base = base.context("the bundle maps no ids")?;
    let staged = mounts.into_iter().map(|mount| bring(&mut stage, mount, base)).collect::<anyhow::Result<Vec<_>>>()?;
    spec.set_mounts(Some(staged));
    let rootfs = stage.attach_root(&sys::inherit::take(ROOT_FD)?).context("attach the root")?;
    if let Some(root) = spec.root_mut() {
        root.set_path(rootfs);
    }
    limit(spec)?;
    let staged = bundle.join("staged");
    fs::create_dir_all(&staged).context("make the staged bundle")?;
    Ok(staged)
}

/// Joins the namespace while still the machine's root (from inside the user namespace it could not be joined), and sets the
/// kernel parameters of it that the bundle asks for.
fn enter_network(spec: &mut Spec) -> anyhow::Result<()> {
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    let is_network = |namespace: &LinuxNamespace| namespace.typ() == LinuxNamespaceType::Network;
    if let Some(path) = namespaces.iter().find(|namespace| is_network(namespace)).and_then(|network| network.path().clone()) {
        let namespace = fs::File::open(&path).with_context(|| format!("open the network namespace {}", path.display()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).context("enter the network namespace")?;
        namespaces.retain(|namespace| !is_network(namespace));
    }
    linux.set_namespaces(Some(namespaces));
    for (name, value) in linux.sysctl().clone().unwrap_or_default() {
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&file, value).with_context(|| format!("set {}", file.display()))?;
    }
    linux.set_sysctl(None);
    Ok(())
}

fn bring(stage: &mut Stage, mut mount: Mount, base: u32) -> anyhow::Result<Mount> {
    let options = mount.options().clone().unwrap_or_default();
    if mount.typ().as_deref() == Some("sysfs") {
        mount.set_source(Some(stage.sysfs().context("mount sysfs")?));
        mount.set_typ(Some("bind".into()));
        mount.set_options(Some(["bind", "ro", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec()));
        return Ok(mount);
    }
    if mount.typ().as_deref() != Some("bind") {
        return Ok(mount);
    }
    let source = mount.source().clone().context("a bind mount without a source")?;
    let mapped = options.iter().any(|option| option == "idmap");
    let staged = match mapped {
        true => bring_mapped(stage, &source, base),
        false => stage.bring(&source),
    };
    mount.set_source(Some(staged.with_context(|| format!("bring {} to the stage", source.display()))?));
    mount.set_options(Some(options.into_iter().filter(|option| option != "idmap").collect()));
    Ok(mount)
}

fn bring_mapped(stage: &mut Stage, source: &Path, base: u32) -> io::Result<PathBuf> {
    let namespace = sys::idmap::user_namespace(base, crate::ports::IdRange::SIZE)?;
    let tree = crate::sandbox::mapped_tree(source, &namespace)?;
    stage.attach(&tree, fs::metadata(source)?.is_dir())
}

/// Limits are set here because the container's root may not raise the ones it was given.
fn limit(spec: &mut Spec) -> anyhow::Result<()> {
    let Some(process) = spec.process_mut() else { return Ok(()) };
    for rlimit in process.rlimits().clone().unwrap_or_default() {
        let resource = match rlimit.typ() {
            PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
            PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
            other => anyhow::bail!("the limit {other:?} is not used here"),
        };
        // A machine may allow less than is asked for, even to root: then as much as it allows.
        let (_, most) = getrlimit(resource).with_context(|| format!("read the limit {resource:?}"))?;
        setrlimit(resource, rlimit.soft(), rlimit.hard())
            .or_else(|_| setrlimit(resource, rlimit.soft().min(most), rlimit.hard().min(most)))
            .with_context(|| format!("set the limit {resource:?}"))?;
    }
    process.set_rlimits(None);
    Ok(())
}

/// What the executor will do in libcontainer's stead.
fn confine(spec: &Spec) -> anyhow::Result<Confined> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone()).context("the bundle has no seccomp profile")?;
    let filters = crate::seccomp::compile(&profile).context("compile the seccomp profile")?;
    let process = spec.process().as_ref().context("the bundle has no process")?;
    let bounding = process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).unwrap_or_default();
    let capabilities = bounding.iter().map(libcontainer_capability).collect();
    Ok(Confined { filters, capabilities })
}

fn libcontainer_capability(capability: &Capability) -> caps::Capability {
    libcontainer::capabilities::CapabilityExt::to_cap(capability)
}

/// Takes out what the executor and the daemon do themselves, and leaves the executor the means.
fn loosen(spec: &mut Spec) {
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(None);
        linux.set_resources(None);
    }
    let Some(process) = spec.process_mut() else { return };
    let Some(mut sets) = process.capabilities().clone() else { return };
    for needed in NEEDED {
        let needed: Capability = libcontainer::capabilities::CapabilityExt::from_cap(needed);
        sets.set_bounding(with(sets.bounding(), needed));
        sets.set_effective(with(sets.effective(), needed));
        sets.set_permitted(with(sets.permitted(), needed));
    }
    process.set_capabilities(Some(sets));
}

fn with(set: &Option<oci_spec::runtime::Capabilities>, capability: Capability) -> Option<oci_spec::runtime::Capabilities> {
    let mut set = set.clone().unwrap_or_default();
    set.insert(capability);
    Some(set)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
