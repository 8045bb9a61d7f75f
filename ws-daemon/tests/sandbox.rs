//! Real containers on this machine, as root: what a guest can and cannot do, and what is left when it is gone.
//!
//! PID 1 is a small program of the tests (`fixtures/pid1.rs`) that runs commands. Where this machine cannot run containers
//! the tests say why and do nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use ws_daemon::ports::{
    IdRange, ImageSettings, InstanceNetwork, PreparedImage, Running, SandboxSpec, Sandboxes as _, WorkspaceUser, WritableLayer,
};
use ws_daemon::sandbox::{SandboxConfig, Sandboxer};

/// A range far from those that a server on this machine gives out.
const FIRST_BASE: u32 = 2_013_265_920;
static NEXT: AtomicU32 = AtomicU32::new(0);

fn can_run() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        println!("skipped: containers need root; run the tests with sudo");
    }
    is_root
}

/// A node with one instance.
struct Node {
    directory: tempfile::TempDir,
    sandboxer: Sandboxer,
    config: SandboxConfig,
    network: Child,
    spec: SandboxSpec,
}

impl Node {
    fn new(image: PathBuf) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() % 1000 * 8;
        let directory = tempfile::Builder::new().prefix("crannog-sandbox-").tempdir().expect("directory");
        let data = directory.path().join("node");
        let mut config = SandboxConfig::new(&data, pid1());
        config.cgroup_parent = format!("crannog-test-{number}");
        config.helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_ws-daemon")));
        let sandboxer = Sandboxer::new(config.clone()).expect("sandboxer");
        let network = Command::new("unshare").args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().expect("unshare");
        let spec = spec(directory.path(), image, number, network.id());
        fs::create_dir_all(data.join("instances").join(&spec.id).join("logs")).expect("logs");
        Self { directory, sandboxer, config, network, spec }
    }

    fn host() -> Self {
        Self::new(PathBuf::from("/"))
    }

    async fn prepare(&self) -> WorkspaceUser {
        self.sandboxer.prepare(&self.spec).await.unwrap_or_else(|error| panic!("prepare: {}", chain(&error)))
    }

    async fn start(&self) -> Running {
        let socket = self.socket();
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("listen");
        match self.sandboxer.start(&self.spec, listener.into(), b"configuration").await {
            Ok(running) => running,
            Err(error) => panic!("start: {}\n{}", chain(&error), self.log()),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    fn log(&self) -> String {
        let file = self.directory.path().join("node/instances").join(&self.spec.id).join("logs/supervisor.log");
        fs::read_to_string(file).unwrap_or_default()
    }

    /// Runs shell text as a user inside: what it printed, and its exit status.
    fn run(&self, uid: u32, gid: u32, script: &str) -> (String, i32) {
        let mut stream = UnixStream::connect(self.socket()).expect("connect to PID 1");
        stream.write_all(format!("{uid} {gid}\n{script}").as_bytes()).expect("ask");
        stream.shutdown(Shutdown::Write).expect("end");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (text, code) = answer.rsplit_once("\nexit ").unwrap_or((&answer, "-3"));
        (text.trim_end().to_owned(), code.parse().unwrap_or(-3))
    }

    fn root(&self, script: &str) -> String {
        self.run(0, 0, script).0
    }

    fn user(&self, user: &WorkspaceUser, script: &str) -> (String, i32) {
        let exports: String = user.env.iter().map(|(name, value)| format!("export {name}='{value}'; ")).collect();
        let path = user.path_prepend.join(":");
        self.run(user.uid, user.gid, &format!("{exports}export HOME={} PATH={path}:$PATH; cd; {script}", user.home))
    }

    async fn remove(&self) {
        self.sandboxer.remove(&self.spec.id).await.unwrap_or_else(|error| panic!("remove: {}", chain(&error)));
    }

    fn upper(&self) -> &Path {
        &self.spec.layer.upper
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed leaves its container: the machine must not.
        for pid in processes(&format!("{}/{}", self.config.cgroup_parent, self.spec.id)) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.network.kill();
        let _ = self.network.wait();
    }
}

fn spec(directory: &Path, image: PathBuf, number: u32, network: u32) -> SandboxSpec {
    let workspace = directory.join("workspace");
    let layer = WritableLayer {
        upper: workspace.join("upper"),
        work: workspace.join("work"),
        found: false,
        range: IdRange { base: FIRST_BASE + number * IdRange::SIZE },
    };
    fs::create_dir_all(&layer.upper).expect("upper");
    fs::create_dir_all(&layer.work).expect("work");
    SandboxSpec {
        id: format!("{:032x}", u128::from(number) + 1),
        hostname: "test-workspace".into(),
        image: PreparedImage {
            reference: "test".into(),
            digest: String::new(),
            root: image,
            config: ImageSettings::default(),
            hit: true,
            bytes: 0,
        },
        layer,
        network: InstanceNetwork {
            namespace: PathBuf::from(format!("/proc/{network}/ns/net")),
            address: std::net::Ipv4Addr::new(10, 9, 8, 2),
            resolv_conf: "nameserver 192.0.2.1\n".into(),
        },
        limits: api::v1::Resources { cpu_millis: 2_000, memory_bytes: 1 << 30, pids: 512 },
        allow_sudo: true,
        read_only_binds: Vec::new(),
    }
}

/// Builds the PID 1 of the tests once.
fn pid1() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pid1.rs");
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pid1-{}", std::process::id()));
            let built = Command::new("rustc")
                .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-o"])
                .arg(&target)
                .arg(source)
                .status()
                .expect("rustc");
            assert!(built.success());
            target
        })
        .clone()
}

fn processes(cgroup: &str) -> Vec<i32> {
    ["pids", "unified", "."]
        .iter()
        .filter_map(|controller| fs::read_to_string(format!("/sys/fs/cgroup/{controller}/{cgroup}/cgroup.procs")).ok())
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

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

fn mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").expect("mountinfo").lines().count()
}

#[tokio::test]
async fn an_instance_of_the_machines_own_image_starts_is_found_and_is_removed_whole() {
    if !can_run() {
        return;
    }
    let before = mounts();
    let node = Node::host();
    let user = node.prepare().await;
    assert_eq!((user.name.as_str(), user.home.as_str()), ("crannog", "/home/crannog"));
    let running = node.start().await;
    assert_eq!(node.root("id -u; hostname; echo $$ > /tmp/x; cat /proc/1/comm"), "0\ntest-workspace\nsupervisor");
    let found = node.sandboxer.find(&node.spec.id).await.expect("find").expect("running");
    assert_eq!(found.pid, running.pid);
    assert_eq!(node.sandboxer.list().await.expect("list"), [node.spec.id.clone()]);
    assert_eq!(mounts(), before, "nothing is mounted in the machine's namespace");
    node.sandboxer.kill(&node.spec.id, 9).await.expect("kill");
    assert!(node.sandboxer.find(&node.spec.id).await.expect("find").is_none());
    node.remove().await;
    node.remove().await;
    assert_eq!(node.sandboxer.list().await.expect("list"), Vec::<String>::new());
    let left = Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "3", "-name", &node.config.cgroup_parent]).output();
    assert_eq!(String::from_utf8_lossy(&left.expect("find").stdout), "");
}
