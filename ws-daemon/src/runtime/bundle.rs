//! The OCI bundle of an instance: `config.json`, and the small files that are mounted into `/etc`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use serde_json::json;

use super::{API_FD, CONFIG_FD};
use crate::error::NodeError;
use crate::ports::{IdRange, SandboxSpec};

/// Where PID 1's binary is shown inside, read-only.
pub const SUPERVISOR: &str = "/.crannog/supervisor";

/// Docker's set and one more. CAP_NET_RAW does nothing here, because the network namespace belongs to the machine; without it
/// in the bounding set, though, a `ping` with file capabilities could not even be executed. CAP_SYS_PTRACE lets PID 1 say
/// which program listens on a port; it drops it for what it starts.
const CAPABILITIES: [&str; 15] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
];

/// What a guest has no business reading (TM-04).
const MASKED: [&str; 15] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/kernel",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A directory or file of the node shown inside, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// On the node.
    pub source: PathBuf,
    /// Inside.
    pub target: PathBuf,
    /// Whether ids 0..65535 of the node are to be 0..65535 inside; otherwise its owners are nobody.
    pub mapped: bool,
}

/// What goes into a bundle besides the instance's own specification.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The supervisor's binary on the node.
    pub supervisor: &'a Path,
    /// `cgroupsPath`.
    pub cgroup: &'a Path,
    /// Read-only directories and files.
    pub shown: &'a [Shown],
    /// Whether a cgroup v2 file system can be mounted inside.
    pub cgroup_mount: bool,
}

/// Writes the bundle into `directory`. Bears repeating.
pub fn write(directory: &Path, spec: &SandboxSpec, parts: &Parts<'_>) -> Result<(), NodeError> {
    let doing = || format!("write the bundle of {}", spec.id);
    let etc = directory.join("etc");
    fs::create_dir_all(&etc).map_err(NodeError::io(doing()))?;
    write_etc(&etc, spec).map_err(NodeError::io(doing()))?;
    let config = config(&etc, spec, parts).map_err(|source| NodeError::Inside { doing: doing(), source })?;
    config.save(directory.join("config.json")).map_err(|error| NodeError::Inside { doing: doing(), source: error.into() })
}

/// The files belong to the container's root, which may change them as on any machine; they are gone with the instance.
fn write_etc(etc: &Path, spec: &SandboxSpec) -> io::Result<()> {
    let hosts =
        format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{}\t{}\n", spec.network.address, spec.hostname);
    let files =
        [("hosts", hosts), ("hostname", format!("{}\n", spec.hostname)), ("resolv.conf", spec.network.resolv_conf.clone())];
    for (name, text) in files {
        let file = etc.join(name);
        fs::write(&file, text)?;
        std::os::unix::fs::chown(&file, Some(spec.layer.range.base), Some(spec.layer.range.base))?;
    }
    Ok(())
}

fn config(etc: &Path, spec: &SandboxSpec, parts: &Parts<'_>) -> anyhow::Result<Spec> {
    let base = spec.layer.range.base;
    let map = json!([{ "containerID": 0, "hostID": base, "size": IdRange::SIZE }]);
    let mut config: Spec = serde_json::from_value(json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": "rootfs" },
        "process": {
            "cwd": "/",
            "args": [SUPERVISOR],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root",
                format!("CRANNOG_API_FD={API_FD}"),
                format!("CRANNOG_CONFIG_FD={CONFIG_FD}"),
            ],
            "user": { "uid": 0, "gid": 0 },
            "noNewPrivileges": !spec.allow_sudo,
            "oomScoreAdj": 100,
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
                              "inheritable": [], "ambient": [] },
            "rlimits": [
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                { "type": "RLIMIT_NOFILE", "soft": 65_536, "hard": 1_048_576 },
            ],
        },
        "mounts": [],
        "linux": {
            "uidMappings": map,
            "gidMappings": map,
            "cgroupsPath": parts.cgroup,
            "namespaces": [
                { "type": "user" }, { "type": "mount" }, { "type": "pid" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "cgroup" }, { "type": "network", "path": spec.network.namespace },
            ],
            "sysctl": { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "rootfsPropagation": "private",
        },
    }))?;
    config.set_mounts(Some(mounts(etc, spec, parts)?));
    if let Some(linux) = config.linux_mut() {
        linux.set_seccomp(Some(crate::seccomp::profile()?));
    }
    Ok(config)
}

fn mounts(etc: &Path, spec: &SandboxSpec, parts: &Parts<'_>) -> anyhow::Result<Vec<Mount>> {
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "nodev", "noexec", "ro"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "nodev", "noexec", "mode=1777", "size=1g"] }),
        // What is there says what runs now: kept over a restart it would lie.
        json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755", "size=64m"] }),
        json!({ "destination": "/run/lock", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "nodev", "noexec", "mode=1777", "size=5m"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "nodev", "noexec"] }),
    ];
    if parts.cgroup_mount {
        mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                            "options": ["nosuid", "nodev", "noexec", "ro"] }));
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        mounts.push(json!({ "destination": format!("/etc/{name}"), "type": "bind", "source": etc.join(name),
                            "options": ["bind", "nosuid", "nodev", "noexec"] }));
    }
    mounts.push(bind(parts.supervisor, Path::new(SUPERVISOR), false));
    mounts.extend(spec.read_only_binds.iter().map(|(source, target)| bind(source, target, false)));
    mounts.extend(parts.shown.iter().map(|shown| bind(&shown.source, &shown.target, shown.mapped)));
    mounts.into_iter().map(|mount| Ok(serde_json::from_value(mount)?)).collect()
}

fn bind(source: &Path, target: &Path, mapped: bool) -> serde_json::Value {
    let mut options = vec!["bind", "ro", "nosuid", "nodev"];
    if mapped {
        options.push("idmap");
    }
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}
