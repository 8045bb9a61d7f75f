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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

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
    /// What lives as long as the node.
    others: Vec<tempfile::TempDir>,
}

impl Node {
    fn new(image: PathBuf) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() % 1000 * 8;
        let directory = tempfile::Builder::new().prefix("crannog-sandbox-").tempdir().expect("directory");
        let data = directory.path().join("node");
        let mut config = SandboxConfig::new(&data, pid1());
        config.cgroup_parent = format!("crannog-test-{number}/node");
        config.helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_ws-daemon")));
        let sandboxer = Sandboxer::new(config.clone()).expect("sandboxer");
        let network = Command::new("unshare").args(["-n", "sleep", "1000"]).stdin(Stdio::null()).spawn().expect("unshare");
        let spec = spec(directory.path(), image, number, network.id());
        fs::create_dir_all(data.join("instances").join(&spec.id).join("logs")).expect("logs");
        Self { directory, sandboxer, config, network, spec, others: Vec::new() }
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
        let group = format!("{}/{}", self.config.cgroup_parent, self.spec.id);
        while !processes(&group).is_empty() {
            std::thread::yield_now();
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            for path in Path::new(&group).ancestors().filter(|path| path.file_name().is_some()) {
                let _ = fs::remove_dir(hierarchy.path().join(path));
            }
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

/// Mounts in the machine's own namespace that have to do with a node.
fn mounts(node: &Node) -> usize {
    let directory = node.directory.path().to_string_lossy().into_owned();
    let all = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    all.lines().filter(|line| line.contains(&directory)).count()
}

#[tokio::test]
async fn an_instance_of_the_machines_own_image_starts_is_found_and_is_removed_whole() {
    if !can_run() {
        return;
    }
    let node = Node::host();
    let user = node.prepare().await;
    assert_eq!((user.name.as_str(), user.home.as_str()), ("crannog", "/home/crannog"));
    let running = node.start().await;
    assert_eq!(node.root("id -u; hostname; echo $$ > /tmp/x; cat /proc/1/comm"), "0\ntest-workspace\nsupervisor");
    let found = node.sandboxer.find(&node.spec.id).await.expect("find").expect("running");
    assert_eq!(found.pid, running.pid);
    assert_eq!(node.sandboxer.list().await.expect("list"), std::slice::from_ref(&node.spec.id));
    assert_eq!(mounts(&node), 0, "nothing is mounted in the machine's namespace");
    node.sandboxer.kill(&node.spec.id, 9).await.expect("kill");
    assert!(node.sandboxer.find(&node.spec.id).await.expect("find").is_none());
    node.remove().await;
    node.remove().await;
    assert_eq!(node.sandboxer.list().await.expect("list"), Vec::<String>::new());
    let left = Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "3", "-name", node.config.cgroup_parent.trim_end_matches("/node")])
        .output();
    assert_eq!(String::from_utf8_lossy(&left.expect("find").stdout), "");
}

/// One container, many looks: what each is for is in its message.
#[tokio::test]
async fn a_guest_of_the_machines_own_image_is_confined() {
    if !can_run() {
        return;
    }
    let node = Node::host();
    let user = node.prepare().await;
    node.start().await;
    let base = node.spec.layer.range.base;

    let map = node.root("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '");
    assert_eq!(map, format!(" 0 {base} 65536\n 0 {base} 65536"));
    let status = node.root("cat /proc/1/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or("?").to_owned();
    assert_eq!(field("Seccomp:"), "2", "the filter is there");
    assert_eq!(field("NoNewPrivs:"), "0", "sudo works");
    assert_eq!((field("CapInh:"), field("CapAmb:")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!(field("CapBnd:"), "00000000a80c25fb", "Docker's set and CAP_SYS_PTRACE, no more");
    assert_eq!(field("CapEff:"), "00000000a80c25fb");
    let descriptors = node.root("for fd in /proc/1/fd/*; do readlink $fd; done");
    let is_ours = |line: &str| {
        let kinds = ["socket:", "pipe:", "/dev/null", "/memfd:crannog-config"];
        kinds.iter().any(|kind| line.starts_with(kind)) || line.ends_with("/supervisor.log")
    };
    assert!(descriptors.lines().all(is_ours), "nothing leaks into PID 1: {descriptors}");
    assert_eq!(node.root("readlink /proc/1/cwd"), "/");
    let data = node.directory.path().to_string_lossy().into_owned();
    assert!(!node.root("head -n 1 /proc/self/mountinfo").contains(&data), "the root does not tell where it comes from");
    assert_eq!(node.root("ulimit -c"), "0");

    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let inside = node.root(&format!("readlink /proc/self/ns/{namespace}"));
        let outside = fs::read_link(format!("/proc/self/ns/{namespace}")).expect("namespace");
        assert_ne!(inside, outside.to_string_lossy(), "{namespace}");
    }
    for forbidden in [
        "mount -t tmpfs x /mnt",
        "unshare -U true",
        "unshare -m true",
        "mknod /tmp/d b 254 0",
        "chroot / mount --bind / /mnt",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "cat /proc/kcore | head -c 1 | grep -q .",
        "ls /sys/firmware | grep -q .",
        "echo x > /usr/../.crannog/supervisor",
        "touch /sys/x",
        "hostname other",
        "dmesg",
    ] {
        assert_ne!(node.run(0, 0, forbidden).1, 0, "root inside may not: {forbidden}");
    }
    for hidden in [
        "/root/.bashrc",
        "/root/.npmrc",
        "/root/.cargo/registry",
        "/root/.cargo/env",
        "/work",
        "/data",
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/machine-id",
        "/var/lib/docker",
        "/run/docker.sock",
        &node.directory.path().to_string_lossy(),
    ] {
        assert_ne!(node.run(0, 0, &format!("test -e {hidden}")).1, 0, "hidden: {hidden}");
    }
    for empty in ["/home/", "/mnt", "/media", "/boot", "/srv", "/tmp", "/var/tmp"] {
        let expected = if empty == "/home/" { user.name.as_str() } else { "" };
        assert_eq!(node.root(&format!("ls -A {empty}")), expected, "{empty}");
    }
    assert!(!node.root("cat /etc/shadow").contains('$'), "no hash of a password");
    assert_eq!(
        node.root("cat /etc/resolv.conf; cat /etc/hostname; grep -c test-workspace /etc/hosts"),
        "nameserver 192.0.2.1\ntest-workspace\n1"
    );

    let (_, code) = node.user(&user, "touch /workspace/mine ~/mine && test -w /workspace && ! touch /usr/bin/x 2>/dev/null");
    assert_eq!(code, 0, "the workspace is the user's, the system is not");
    assert_eq!(node.user(&user, "sudo touch /usr/bin/from-root; id -u; sudo id -u").0, format!("{}\n0", user.uid));
    let made = fs::metadata(node.upper().join("usr/bin/from-root")).expect("in the upper");
    assert_eq!((made.uid(), made.gid()), (base, base), "root inside is nobody outside");
    let mine = fs::metadata(node.upper().join("workspace/mine")).expect("in the upper");
    assert_eq!(mine.uid(), base + user.uid);
    assert!(!Path::new("/usr/bin/from-root").exists(), "the machine itself is untouched");
    assert_ne!(node.run(0, 0, "echo x >> /etc/debian_version && false").1, 0);
    assert!(!fs::read_to_string("/etc/os-release").expect("machine").contains("\nx"));
    node.remove().await;
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_prepare_bears_repeating() {
    if !can_run() {
        return;
    }
    let node = Node::host();
    let user = node.prepare().await;
    assert_eq!(node.prepare().await, user);
    node.start().await;
    node.root("echo kept > /etc/kept; rm /etc/issue; mkdir /usr/local/renamed && mv /usr/local/renamed /usr/local/to");
    node.remove().await;
    assert_eq!(node.prepare().await, user);
    node.start().await;
    assert_eq!(node.root("cat /etc/kept; test -e /etc/issue; echo $?; ls -d /usr/local/to"), "kept\n1\n/usr/local/to");
    assert_eq!(
        node.root(&format!("grep -c ^{}: /etc/passwd /etc/group | tr '\\n' ' '", user.name)),
        "/etc/passwd:1 /etc/group:1"
    );
    node.remove().await;
}

#[tokio::test]
async fn toolchains_of_a_home_work_for_the_workspaces_user_and_cannot_be_changed() {
    if !can_run() {
        return;
    }
    let node = Node::host();
    let user = node.prepare().await;
    node.start().await;
    let (seen, _) = node.user(&user, "env; command -v cargo python3 go node");
    println!("{seen}");
    if Path::new("/root/.rustup").is_dir() {
        let script =
            "cd /workspace && cargo init -q --name hello hello && cd hello && cargo build -q --offline && ./target/debug/hello";
        assert_eq!(node.user(&user, script), ("Hello, world!".into(), 0), "cargo");
        assert_ne!(node.run(0, 0, "touch /root/.rustup/x").1, 0, "read-only, also for root");
        assert_ne!(node.run(0, 0, "test -e /root/.cargo/registry").1, 0, "only the programs");
    }
    let script = "python3 -m venv /tmp/v && /tmp/v/bin/python -c 'print(6*7)'";
    assert_eq!(node.user(&user, script), ("42".into(), 0), "python");
    if Path::new("/usr/bin/npm").exists() {
        let script = "mkdir -p /workspace/a /workspace/b && cd /workspace/b && npm init -y >/dev/null && cd ../a && npm init -y >/dev/null && npm install --offline ../b >/dev/null && ls node_modules";
        assert_eq!(node.user(&user, script), ("b".into(), 0), "npm");
    }
    if Path::new("/usr/local/go").is_dir() {
        let script = "mkdir /workspace/g && cd /workspace/g && go mod init g 2>/dev/null && printf 'package main\nfunc main(){println(1)}' > m.go && go build -o g . && ./g";
        assert_eq!(node.user(&user, script), ("1".into(), 0), "go");
    }
    node.remove().await;
}

#[tokio::test]
async fn more_memory_than_the_class_allows_is_an_oom_kill_that_is_counted() {
    if !can_run() {
        return;
    }
    let mut node = Node::host();
    node.spec.limits.memory_bytes = 96 << 20;
    node.prepare().await;
    node.start().await;
    assert_eq!(node.sandboxer.usage(&node.spec.id).await.expect("usage").oom_kills, 0);
    let (_, code) = node.run(0, 0, "head -c 300m /dev/zero | tail > /dev/null");
    assert_ne!(code, 0);
    let usage = node.sandboxer.usage(&node.spec.id).await.expect("usage");
    assert!(usage.oom_kills >= 1, "{usage:?}");
    assert!(usage.pids >= 1 && usage.memory_bytes > 0 && usage.cpu_usec > 0, "{usage:?}");
    assert_eq!(node.root("echo alive"), "alive", "PID 1 lives on");
    node.remove().await;
}

#[tokio::test]
async fn a_class_without_sudo_gets_no_new_privileges() {
    if !can_run() {
        return;
    }
    let mut node = Node::host();
    node.spec.allow_sudo = false;
    node.prepare().await;
    node.start().await;
    assert_eq!(node.root("grep -E '^(NoNewPrivs|Seccomp):' /proc/1/status | tr -s '\\t' ' '"), "NoNewPrivs: 1\nSeccomp: 2");
    assert_ne!(node.run(0, 0, "test -e /usr/local/bin/sudo").1, 0);
    node.remove().await;
}

#[tokio::test]
async fn another_daemon_finds_the_container_and_takes_it_away() {
    if !can_run() {
        return;
    }
    let node = Node::host();
    node.prepare().await;
    let running = node.start().await;
    let other = Sandboxer::new(node.config.clone()).expect("sandboxer");
    assert_eq!(other.find(&node.spec.id).await.expect("find").expect("running").pid, running.pid);
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid)).expect("status");
    let parent: u32 = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).expect("parent");
    assert_ne!(parent, std::process::id(), "it is nobody's child");
    other.remove(&node.spec.id).await.expect("remove");
    let state = fs::read_to_string(format!("/proc/{}/stat", running.pid)).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// A small image: busybox and an `/etc/passwd`; what a test adds to it.
fn busybox(directory: &Path) -> Option<PathBuf> {
    let program = ["/bin/busybox", "/usr/bin/busybox"].iter().map(Path::new).find(|path| path.exists());
    let Some(program) = program else {
        println!("skipped: no busybox here; `apt-get install busybox-static` brings it");
        return None;
    };
    let root = directory.join("image");
    for name in ["bin", "etc", "proc", "usr/bin", "sbin", "tmp"] {
        fs::create_dir_all(root.join(name)).expect("directory");
    }
    fs::copy(program, root.join("bin/busybox")).expect("busybox");
    let installed = Command::new("chroot").arg(&root).args(["/bin/busybox", "--install", "-s", "/bin"]).status();
    assert!(installed.expect("chroot").success());
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\n").expect("group");
    Some(root)
}

fn with_busybox() -> Option<Node> {
    let directory = tempfile::tempdir().expect("directory");
    let image = busybox(directory.path())?;
    let mut node = Node::new(image);
    node.others.push(directory);
    Some(node)
}

#[tokio::test]
async fn an_image_with_nothing_but_a_shell_gets_a_user_sudo_and_a_workspace() {
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    let user = node.prepare().await;
    assert_eq!((user.name.as_str(), user.uid, user.shell.as_str()), ("crannog", 1000, "/bin/sh"));
    node.start().await;
    assert_eq!(node.user(&user, "id -un; stat -c %U /workspace ~; sudo id -u").0, "crannog\ncrannog\ncrannog\n0");
    assert_ne!(node.run(0, 0, "touch /bin/new && rm /bin/wget && false").1, 0);
    assert!(node.spec.image.root.join("bin/wget").symlink_metadata().is_ok(), "the image is never written");
    assert_eq!(
        node.root("ls /dev | grep -v core | tr '\\n' ' '"),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    node.remove().await;
}

#[tokio::test]
async fn the_images_own_user_is_the_workspaces_user() {
    if !can_run() {
        return;
    }
    let Some(mut node) = with_busybox() else { return };
    let etc = node.spec.image.root.join("etc");
    fs::write(etc.join("passwd"), "root:x:0:0::/root:/bin/sh\nnode:x:1234:1234::/home/node:/bin/ash\n").expect("passwd");
    node.spec.image.config.user = "node".into();
    let user = node.prepare().await;
    assert_eq!((user.name.as_str(), user.uid, user.shell.as_str(), user.home.as_str()), ("node", 1234, "/bin/ash", "/home/node"));
    node.spec.image.config.user = "no-such-user".into();
    let error = node.sandboxer.prepare(&node.spec).await.expect_err("refused");
    assert!(error.to_string().contains("no-such-user"), "{error}");
    node.remove().await;
}

#[tokio::test]
async fn an_image_without_a_shell_is_refused_with_a_hint() {
    use domain::class::{Class, Classify as _};
    if !can_run() {
        return;
    }
    let image = tempfile::tempdir().expect("image");
    let node = Node::new(image.path().to_owned());
    let error = node.sandboxer.prepare(&node.spec).await.expect_err("refused");
    assert_eq!((error.class(), error.reason()), (Class::FailedPrecondition, "ImageWithoutShell"));
    assert!(error.hint().is_some());
    node.remove().await;
}

/// TM-05: an image in which something leads elsewhere makes no file outside of the root and no container.
#[tokio::test]
async fn tm_05_a_hostile_image_harms_nobody_but_itself() {
    if !can_run() {
        return;
    }
    let outside = tempfile::tempdir().expect("outside");
    let marker = outside.path().join("marker");
    fs::write(&marker, "untouched").expect("marker");
    for (hostile, target) in [
        ("etc/passwd", &marker),
        ("etc/group", &marker),
        ("etc/resolv.conf", &marker),
        ("home", &outside.path().to_owned()),
        ("workspace", &outside.path().to_owned()),
        ("usr/local", &outside.path().to_owned()),
        ("proc", &PathBuf::from("/etc")),
        ("sys", &outside.path().to_owned()),
        ("dev", &outside.path().to_owned()),
        (".crannog", &outside.path().to_owned()),
        ("etc", &outside.path().to_owned()),
    ] {
        let Some(node) = with_busybox() else { return };
        let path = node.spec.image.root.join(hostile);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(target, &path).expect("link");
        if node.sandboxer.prepare(&node.spec).await.is_ok() {
            let socket = node.socket();
            let _ = fs::remove_file(&socket);
            let listener = UnixListener::bind(&socket).expect("listen");
            if node.sandboxer.start(&node.spec, listener.into(), b"").await.is_ok() {
                assert_eq!(node.root("stat -f -c %T /proc; test -d /dev/pts && echo dev"), "proc\ndev", "{hostile}");
            }
        }
        node.remove().await;
        assert_eq!(fs::read_to_string(&marker).expect("marker"), "untouched", "{hostile}");
        assert_eq!(fs::read_dir(outside.path()).expect("outside").count(), 1, "{hostile}");
    }
}

/// The helper is killed a little later each time; whatever it had done, `remove` leaves nothing and a start works again.
#[tokio::test(flavor = "multi_thread")]
async fn a_helper_killed_at_any_moment_leaves_nothing_behind() {
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    node.prepare().await;
    let mut killed = 0;
    for moment in 0..32_u64 {
        let (id, done) = (node.spec.id.clone(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&done);
        let assassin = std::thread::spawn(move || kill_helper(&id, std::time::Duration::from_micros(moment * 500), &over));
        let _ = fs::remove_file(node.socket());
        let listener = UnixListener::bind(node.socket()).expect("listen");
        let started = node.sandboxer.start(&node.spec, listener.into(), b"").await;
        done.store(true, Ordering::Relaxed);
        assassin.join().expect("join");
        killed += usize::from(started.is_err());
        // Every other time without `remove`: `start` itself has to clear the way.
        if moment % 2 == 0 {
            node.remove().await;
            assert_eq!(node.sandboxer.list().await.expect("list"), Vec::<String>::new(), "moment {moment}");
        }
    }
    println!("{killed} of 32 starts were hit");
    assert!(killed > 0);
    assert_eq!(mounts(&node), 0);
    node.start().await;
    assert_eq!(node.root("echo well"), "well");
    node.remove().await;
}

/// Waits for the helper that works for `id`, then for `delay`, and kills it.
fn kill_helper(id: &str, delay: std::time::Duration, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let Some(pid) = helper_of(id) else { continue };
        let at = std::time::Instant::now() + delay;
        while std::time::Instant::now() < at {
            std::hint::spin_loop();
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        return;
    }
}

/// Looks among the children of this process only, to be quick.
fn helper_of(id: &str) -> Option<i32> {
    let threads = fs::read_dir("/proc/self/task").ok()?.flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<i32> =
        children.flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    pids.into_iter().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("oci-runtime-helper") && line.contains(id)
    })
}

#[tokio::test]
async fn a_runtime_on_the_command_line_makes_the_same_container() {
    if !can_run() {
        return;
    }
    let Some(runc) =
        ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"].iter().map(PathBuf::from).find(|path| path.exists())
    else {
        println!("skipped: no runc here; `apt-get install runc` brings it");
        return;
    };
    let Some(mut node) = with_busybox() else { return };
    node.config.runtime = Some(runc);
    node.sandboxer = Sandboxer::new(node.config.clone()).expect("sandboxer");
    node.prepare().await;
    node.start().await;
    let base = node.spec.layer.range.base;
    assert_eq!(
        node.root("tr -s ' ' < /proc/self/uid_map; hostname; grep ^Seccomp: /proc/1/status | tr -s '\t' ' '"),
        format!(" 0 {base} 65536\ntest-workspace\nSeccomp: 2")
    );
    node.sandboxer.kill(&node.spec.id, 15).await.expect("signal");
    node.remove().await;
    assert_eq!(node.sandboxer.list().await.expect("list"), Vec::<String>::new());
}

/// TM-01: every number up to 600, and x32's, is tried by the container's root: what the profile does not name is refused.
#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn tm_01_every_system_call_that_is_not_on_the_list_is_refused() {
    const EPERM: &str = "1";
    const X32: i64 = 0x4000_0000;
    // uretprobe and uprobe: no filter sees them, by the kernel's own decision; outside of a probe they end the caller.
    const BY_KERNEL: [i64; 2] = [335, 336];
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    node.prepare().await;
    node.start().await;
    let allowed = ws_daemon::seccomp::numbers();
    let script = |numbers: &[i64]| {
        let list: Vec<String> = numbers.iter().map(i64::to_string).collect();
        format!("for n in {}; do /.crannog/supervisor syscall $n >/dev/null 2>&1; echo $n $?; done", list.join(" "))
    };
    let refused: Vec<i64> = (0..600)
        .filter(|number| !allowed.contains(number) && !BY_KERNEL.contains(number))
        .chain([X32, X32 + 1, X32 + 59, X32 + 520])
        .collect();
    let answers = node.root(&script(&refused));
    assert_eq!(answers.lines().count(), refused.len());
    for answer in answers.lines() {
        assert_eq!(answer.split_once(' ').map(|(_, errno)| errno), Some(EPERM), "number and errno: {answer}");
    }
    // ioctl, personality and socket are refused by their arguments; clone3 does not exist for anybody.
    assert_eq!(node.root("/.crannog/supervisor syscall 435; echo $?"), "38", "clone3 answers ENOSYS");
    assert_eq!(node.root("/.crannog/supervisor syscall 56; echo $?"), "1", "clone with new namespaces");
    assert_eq!(node.root("/.crannog/supervisor syscall 39; echo $?"), "0", "getpid is allowed");
    node.remove().await;
}

#[tokio::test]
async fn two_daemons_with_data_of_their_own_do_not_see_each_others_containers() {
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    node.prepare().await;
    node.start().await;
    let elsewhere = tempfile::tempdir().expect("directory");
    let mut config = node.config.clone();
    config.data = elsewhere.path().join("node");
    let other = Sandboxer::new(config).expect("sandboxer");
    assert_eq!(other.list().await.expect("list"), Vec::<String>::new());
    assert_eq!(node.root("echo alive"), "alive");
    node.remove().await;
}

/// TM-07: the programs of the machine that a guest can see the other end of cannot be written by its root.
#[tokio::test]
async fn tm_07_the_supervisor_cannot_be_overwritten_from_inside() {
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    node.prepare().await;
    node.start().await;
    for attempt in
        ["echo x > /proc/1/exe", "echo x > /.crannog/supervisor", "chmod 777 /.crannog/supervisor", "rm -f /.crannog/supervisor"]
    {
        assert_ne!(node.run(0, 0, attempt).1, 0, "{attempt}");
    }
    let installed = fs::read_dir(node.config.data.join("bin")).expect("bin").flatten().next().expect("a copy").path();
    assert_eq!(fs::read(&installed).expect("copy"), fs::read(pid1()).expect("original"));
    // A directory above a mount can be moved; the next start makes it anew.
    assert_eq!(node.run(0, 0, "mv /.crannog /elsewhere && ln -s /elsewhere /.crannog").1, 0);
    node.remove().await;
    node.prepare().await;
    node.start().await;
    assert_eq!(node.root("echo well"), "well");
    node.remove().await;
}

/// TM-10: whatever a guest's root does, nothing in the upper has an id of the machine or is a device.
#[tokio::test]
async fn tm_10_nothing_in_the_upper_is_the_machines() {
    if !can_run() {
        return;
    }
    let Some(node) = with_busybox() else { return };
    node.prepare().await;
    node.start().await;
    node.root("cp /bin/busybox /suid; chmod 6755 /suid; chown 0:0 /suid; mknod /null c 1 3; mknod /disk b 254 0; mkfifo /pipe; rm -r /bin/wget");
    node.remove().await;
    let base = node.spec.layer.range.base;
    let listed = Command::new("find").arg(node.upper()).args(["-printf", "%U %G %y %p\n"]).output().expect("find");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("/suid") && listed.contains("/pipe"), "{listed}");
    for line in listed.lines().filter(|line| !line.ends_with("/bin/wget")) {
        let fields: Vec<&str> = line.splitn(4, ' ').collect();
        let is_own = |id: &str| id.parse::<u32>().is_ok_and(|id| (base..base + IdRange::SIZE).contains(&id));
        assert!(is_own(fields[0]) && is_own(fields[1]), "{line}");
        assert!(!matches!(fields[2], "b" | "c"), "{line}");
    }
}
