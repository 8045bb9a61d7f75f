//! A machine for one test: a network namespace with a link to a world, and the daemon's networks in it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ws_daemon::network::{NetworkSettings, VethNetworks};
use ws_daemon::ports::Networks;

/// The machine. Everything that runs on the test's thread, its children and its threads is in it.
pub struct Machine {
    /// The networks of the first daemon.
    pub networks: VethNetworks,
    /// Namespace of the world.
    pub world: PathBuf,
    /// Where the namespaces of instances are bound.
    pub namespaces: PathBuf,
    directory: PathBuf,
}

/// Runs a test on a machine of its own, on a thread of its own; skips it with a word where that cannot be.
pub fn on_a_machine(test: impl AsyncFnOnce(&Machine) + Send) {
    if let Some(why) = cannot() {
        println!("skipped: {why}");
        return;
    }
    std::thread::scope(|scope| {
        let machine = std::thread::Builder::new().name("machine".into()).spawn_scoped(scope, || run(test));
        if let Err(panic) = machine.expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn cannot() -> Option<&'static str> {
    let runs = |program: &str| Command::new(program).arg("-V").output().is_ok();
    match () {
        () if !nix::unistd::geteuid().is_root() => Some("network namespaces need root"),
        () if !runs("nft") => Some("there is no nft; install the package nftables"),
        () if !runs("ip") => Some("there is no ip; install the package iproute2"),
        () => None,
    }
}

fn run(test: impl AsyncFnOnce(&Machine)) {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let directory = tempfile::tempdir().expect("a directory");
    let world = directory.path().join("world");
    sys::netns::create(&world).expect("a world");
    // Threads of the runtime are made by this one and so are in its namespace.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let machine = Machine::new(directory.path().to_owned()).await;
            test(&machine).await;
            machine.end().await;
        });
    }));
    sys::netns::remove(&world).expect("the world ends");
    unbind_below(directory.path());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A test that failed leaves namespaces bound; its links go with the machine.
fn unbind_below(directory: &Path) {
    let folders = ["netns", "neighbour"].map(|name| std::fs::read_dir(directory.join(name)));
    for file in folders.into_iter().flatten().flatten().flatten() {
        sys::netns::remove(&file.path()).expect("unbound");
    }
}

impl Machine {
    async fn new(directory: PathBuf) -> Self {
        let (world, namespaces) = (directory.join("world"), directory.join("netns"));
        std::fs::write(directory.join("resolv.conf"), "nameserver 192.0.2.1\n").expect("a resolv.conf");
        let networks = VethNetworks::open(settings(&directory)).await.expect("networks");
        let machine = Self { networks, world, namespaces, directory };
        machine.ip("link set lo up");
        machine.ip("link add up0 type veth peer name up1");
        let carrier = std::fs::File::open(&machine.world).expect("the world");
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&carrier);
        machine.ip(&format!("link set up1 netns /proc/{}/fd/{descriptor}", std::process::id()));
        machine.ip("address add 192.0.2.2/24 dev up0");
        machine.ip("link set up0 up");
        machine.ip("route add default via 192.0.2.1");
        machine.ip_in_world("link set lo up");
        machine.ip_in_world("address add 192.0.2.1/24 dev up1");
        machine.ip_in_world("link set up1 up");
        machine
    }

    /// Removes what the test left, as a daemon would.
    async fn end(self) {
        for id in self.networks.list().await.expect("a list") {
            self.networks.remove(&id).await.expect("removed");
        }
    }

    /// The next life of the daemon on the same data.
    pub async fn another_daemon(&self) -> VethNetworks {
        VethNetworks::open(settings(&self.directory)).await.expect("networks")
    }

    /// A daemon of other data and another range on the same machine.
    pub async fn neighbour(&self, range: &str) -> VethNetworks {
        let range = range.parse().expect("a range");
        let namespaces = self.directory.join("neighbour");
        let settings = NetworkSettings { range, namespaces, ..settings(&self.directory) };
        VethNetworks::open(settings).await.expect("networks")
    }

    /// What the node's resolver configuration says.
    pub fn resolv_conf(&self, text: &str) {
        std::fs::write(self.directory.join("resolv.conf"), text).expect("a resolv.conf");
    }

    /// A listening socket in the world.
    pub fn world_listens(&self, address: &str) -> TcpListener {
        sys::netns::run_in(&self.world, || TcpListener::bind(address)).expect(address)
    }

    /// Names of the machine's links.
    pub fn links(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .said("ip", &["-o", "link"])
            .lines()
            .filter_map(|line| line.split(": ").nth(1)?.split('@').next().map(str::to_owned))
            .filter(|name| !name.starts_with("ifb"))
            .collect();
        names.sort_unstable();
        names
    }

    /// Runs `ip` in the namespace of the calling thread.
    pub fn ip(&self, arguments: &str) {
        self.said("ip", &arguments.split(' ').collect::<Vec<_>>());
    }

    /// Runs `ip` in the world.
    pub fn ip_in_world(&self, arguments: &str) {
        sys::netns::run_in(&self.world, || {
            self.ip(arguments);
            Ok(())
        })
        .expect("ip in the world");
    }

    /// Gives rules to `nft`.
    pub fn nft(&self, rules: &str) {
        let file = self.directory.join("rules.nft");
        std::fs::write(&file, rules).expect("rules");
        self.said("nft", &["-f", &file.display().to_string()]);
    }

    /// What a program says; it must succeed.
    pub fn said(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().expect(program);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn settings(directory: &Path) -> NetworkSettings {
    NetworkSettings {
        lock: directory.join("lock"),
        resolv_conf: directory.join("resolv.conf"),
        upstream_resolv_conf: directory.join("upstream"),
        ..NetworkSettings::below(directory.join("netns"))
    }
}
