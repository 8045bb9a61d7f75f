//! The networks of instances: for each a namespace, a veth pair and a /30 of the node's private range, a way out by
//! masquerade, and no way in or sideways.
//!
//! What exists is the truth: namespaces are found by their files, links by their names and addresses. Nothing is kept
//! elsewhere, so nothing can disagree after a crash. A lock file keeps daemons on one machine from each other's feet:
//! range, rules and the namespace of the machine are shared by all of them.

mod addresses;
mod dial;
mod firewall;
mod forwarding;
mod links;
mod lock;
mod resolver;
mod watch;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::class::Class;
use parking_lot::Mutex;

pub use addresses::{PrivateRange, RangeError};

use crate::error::NodeError;
use crate::ports::{InstanceNetwork, Networks};
use addresses::{Ledger, Subnet};
use firewall::Sources;

/// How long an address is not given out again: an edge may still know it (TM-25).
const QUARANTINE: Duration = Duration::from_secs(60);

/// How the networks of a node are made.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Where the files are that namespaces are bound to.
    pub namespaces: PathBuf,
    /// What addresses are taken from.
    pub range: PrivateRange,
    /// Lock file that all daemons of the machine share.
    pub lock: PathBuf,
    /// The node's resolver configuration.
    pub resolv_conf: PathBuf,
    /// The real upstreams when the node's own names a stub on loopback.
    pub upstream_resolv_conf: PathBuf,
}

impl NetworkSettings {
    /// Settings as on any machine, with namespaces bound below a directory.
    pub fn below(namespaces: impl Into<PathBuf>) -> Self {
        Self {
            namespaces: namespaces.into(),
            range: PrivateRange::default(),
            lock: "/run/crannog-network.lock".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            upstream_resolv_conf: "/run/systemd/resolve/resolv.conf".into(),
        }
    }
}

/// The real networks, by veth pairs and nftables. Rules that somebody flushes are put back for as long as this lives.
pub struct VethNetworks {
    shared: Arc<Shared>,
    watch: tokio::task::AbortHandle,
}

impl Drop for VethNetworks {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct Shared {
    settings: NetworkSettings,
    ledger: Mutex<Ledger>,
}

impl VethNetworks {
    /// Checks that the machine can do it, and puts the rules for what exists in force.
    pub async fn open(settings: NetworkSettings) -> Result<Self, NodeError> {
        let ledger = Mutex::new(Ledger::new(settings.range, QUARANTINE));
        let shared = Arc::new(Shared { settings, ledger });
        let changes = watch::Changes::subscribe()?;
        blocking(&shared, Shared::open).await?;
        let watch = tokio::spawn(watch::keep_rules(Arc::clone(&shared), changes)).abort_handle();
        Ok(Self { shared, watch })
    }
}

/// System calls and programs block, so they are kept off the threads that serve.
async fn blocking<T, F>(shared: &Arc<Shared>, work: F) -> Result<T, NodeError>
where
    T: Send + 'static,
    F: FnOnce(&Shared) -> Result<T, NodeError> + Send + 'static,
{
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared))
        .await
        .map_err(|source| NodeError::Inside { doing: "work on a network".into(), source: source.into() })?
}

#[tonic::async_trait]
impl Networks for VethNetworks {
    async fn create(&self, instance_id: &str) -> Result<InstanceNetwork, NodeError> {
        let id = checked(instance_id)?;
        blocking(&self.shared, move |shared| shared.create(&id)).await
    }

    async fn remove(&self, instance_id: &str) -> Result<(), NodeError> {
        let id = checked(instance_id)?;
        blocking(&self.shared, move |shared| shared.remove(&id)).await
    }

    async fn list(&self) -> Result<Vec<String>, NodeError> {
        blocking(&self.shared, Shared::list).await
    }

    async fn dial(&self, instance_id: &str, port: u16) -> Result<OwnedFd, NodeError> {
        dial::dial(&self.shared.file(&checked(instance_id)?), port).await
    }
}

impl Shared {
    fn open(&self) -> Result<(), NodeError> {
        std::fs::create_dir_all(&self.settings.namespaces)
            .map_err(NodeError::io(format!("make the directory {}", self.settings.namespaces.display())))?;
        firewall::check_program()?;
        let _lock = self.lock()?;
        let sources = sources(&links::addresses()?);
        if sources.is_empty() { Ok(()) } else { self.put_rules_in_force(&sources) }
    }

    fn create(&self, id: &str) -> Result<InstanceNetwork, NodeError> {
        let file = self.file(id);
        let _lock = self.lock()?;
        if !sys::netns::is_bound(&file).map_err(NodeError::io(format!("look for the namespace of {id}")))? {
            sys::netns::create(&file).map_err(NodeError::io(format!("make a network namespace for {id}")))?;
        }
        let used = links::addresses()?;
        let subnet = self.subnet_of(id, &used)?;
        let mut sources = sources(&used);
        sources.insert(links::name_of(id), subnet.instance());
        // Rules hold before the link is up: there is no moment without them.
        self.put_rules_in_force(&sources)?;
        links::ensure(id, &file, subnet)?;
        Ok(InstanceNetwork { namespace: file, address: subnet.instance(), resolv_conf: self.resolver().text })
    }

    /// The subnet that an instance's link has already, or a new one.
    fn subnet_of(&self, id: &str, used: &[(String, Ipv4Addr)]) -> Result<Subnet, NodeError> {
        let name = links::name_of(id);
        if let Some((_, address)) = used.iter().find(|(link, _)| *link == name) {
            return Ok(Subnet::around(*address));
        }
        let taken: BTreeSet<Ipv4Addr> = used.iter().map(|(_, address)| *address).collect();
        self.ledger.lock().take(&taken).ok_or_else(|| {
            let message = format!("all subnets of {} are in use", self.settings.range);
            let hint = "stop workspaces, or give the node a larger range";
            NodeError::refused(Class::ResourceExhausted, "AddressesExhausted", message, hint)
        })
    }

    fn remove(&self, id: &str) -> Result<(), NodeError> {
        let _lock = self.lock()?;
        // The file goes last. Without it there is nothing of ours, and a link of that name is another daemon's.
        if !self.file(id).exists() {
            return Ok(());
        }
        let name = links::name_of(id);
        let (own, others): (Vec<_>, Vec<_>) = links::addresses()?.into_iter().partition(|(link, _)| *link == name);
        links::delete(&name)?;
        for (_, address) in own {
            self.ledger.lock().release(Subnet::around(address));
        }
        sys::netns::remove(&self.file(id)).map_err(NodeError::io(format!("remove the network namespace of {id}")))?;
        let sources = sources(&others);
        if !sources.is_empty() {
            return self.put_rules_in_force(&sources);
        }
        firewall::withdraw()?;
        forwarding::withdraw();
        Ok(())
    }

    /// Puts rules back that somebody flushed. Nothing to do where no instance is.
    fn mend_rules(&self) -> Result<(), NodeError> {
        let _lock = self.lock()?;
        let sources = sources(&links::addresses()?);
        if sources.is_empty() || firewall::is_in_force() {
            return Ok(());
        }
        tracing::warn!("the rules for instances were gone; they are put back");
        self.put_rules_in_force(&sources)
    }

    fn list(&self) -> Result<Vec<String>, NodeError> {
        let doing = || format!("list {}", self.settings.namespaces.display());
        let entries = std::fs::read_dir(&self.settings.namespaces).map_err(NodeError::io(doing()))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>, _>>().map_err(NodeError::io(doing()))?;
        names.retain(|name| domain::name::is_id(name));
        names.sort_unstable();
        Ok(names)
    }

    fn put_rules_in_force(&self, sources: &Sources) -> Result<(), NodeError> {
        firewall::apply(self.settings.range, &self.resolver().servers, sources)?;
        forwarding::ensure()
    }

    fn resolver(&self) -> resolver::Resolver {
        resolver::read(&self.settings.resolv_conf, &self.settings.upstream_resolv_conf)
    }

    fn lock(&self) -> Result<lock::Lock, NodeError> {
        lock::Lock::take(&self.settings.lock)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.settings.namespaces.join(id)
    }
}

/// Of all addresses of the node those on links of instances, each as what the instance has on the other side.
fn sources(addresses: &[(String, Ipv4Addr)]) -> Sources {
    let of_instances = addresses.iter().filter(|(link, _)| link.starts_with(links::PREFIX));
    of_instances.map(|(link, address)| (link.clone(), Subnet::around(*address).instance())).collect()
}

/// Ids become names of files and links, so nothing else gets that far.
fn checked(id: &str) -> Result<String, NodeError> {
    if domain::name::is_id(id) {
        return Ok(id.to_owned());
    }
    Err(NodeError::refused(Class::InvalidArgument, "IdMalformed", format!("{id:?} is not the id of an instance"), ""))
}

/// Runs one step of netlink to its end. Callers are on threads that may block.
fn netlink<T, F>(doing: &str, work: impl FnOnce(rtnetlink::Handle) -> F) -> Result<T, NodeError>
where
    F: Future<Output = Result<T, rtnetlink::Error>>,
{
    let inside = |source: anyhow::Error| NodeError::Inside { doing: doing.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|error| inside(error.into()))?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| inside(error.into()))?;
        let connection = tokio::spawn(connection);
        let outcome = work(handle).await.map_err(|error| inside(error.into()));
        connection.abort();
        outcome
    })
}

/// Writes a setting of the kernel in the namespace of the calling thread.
fn write_sysctl(path: &str, value: &str) -> std::io::Result<()> {
    std::fs::write(Path::new("/proc/sys").join(path), value)
}
