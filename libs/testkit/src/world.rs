//! A host beyond the machine: a network namespace that workspaces reach through the node's NAT, as they reach the
//! Internet. Servers for stories listen there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, bail};

static NEXT: AtomicU8 = AtomicU8::new(0);

/// One such host, with an address of TEST-NET-3 (RFC 5737).
pub struct World {
    name: String,
    link: String,
    address: Ipv4Addr,
}

impl World {
    /// Makes it.
    pub fn new() -> anyhow::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 60;
        let base = number * 4;
        let unique = format!("{}-{number}", std::process::id());
        let world =
            Self { name: format!("world-{unique}"), link: format!("w{unique}"), address: Ipv4Addr::new(203, 0, 113, base + 2) };
        let gateway = Ipv4Addr::new(203, 0, 113, base + 1);
        let peer = format!("{}p", world.link);
        let (ns, link) = (world.name.as_str(), world.link.as_str());
        ip(&["netns", "add", ns])?;
        ip(&["link", "add", link, "type", "veth", "peer", "name", &peer, "netns", ns])?;
        ip(&["address", "add", &format!("{gateway}/30"), "dev", link])?;
        ip(&["link", "set", link, "up"])?;
        ip(&["-n", ns, "address", "add", &format!("{}/30", world.address), "dev", &peer])?;
        ip(&["-n", ns, "link", "set", &peer, "up"])?;
        ip(&["-n", ns, "link", "set", "lo", "up"])?;
        ip(&["-n", ns, "route", "add", "default", "via", &gateway.to_string()])?;
        Ok(world)
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// A listener on a free port of it, for a server in this process.
    pub fn listen(&self) -> anyhow::Result<(TcpListener, SocketAddr)> {
        let namespace = PathBuf::from("/run/netns").join(&self.name);
        let wanted = SocketAddr::new(self.address(), 0);
        // A socket belongs to the namespace it was made in: a thread of its own enters, makes it, and ends.
        let made = std::thread::spawn(move || -> anyhow::Result<TcpListener> {
            let file = std::fs::File::open(&namespace).with_context(|| format!("open {}", namespace.display()))?;
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).context("enter the namespace")?;
            TcpListener::bind(wanted).context("listen")
        });
        let listener = made.join().map_err(|_| anyhow::anyhow!("the listening thread panicked"))??;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// A command that runs on it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
        let _ = ip(&["link", "delete", &self.link]);
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("run ip (Debian package iproute2)")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
