//! Where requests may go. The name of an image comes from a repository that anybody may have written, and a registry
//! may send us on to anywhere (TM-38): so every address is looked at after it was resolved, and connected to as it was
//! looked at. Addresses have a reach, and a registry never leads to a nearer one than its own: one on the Internet
//! cannot send us to a private network, one there cannot send us to this machine, and nobody to link-local addresses,
//! where clouds keep their secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{Options, RegistryError};

/// How near an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Anywhere on the Internet.
    Public,
    /// A private network.
    Private,
    /// This machine.
    Loopback,
}

/// One HTTP client for each reach, which does not connect to anything nearer.
#[derive(Debug)]
pub struct Egress {
    clients: [reqwest::Client; 3],
    allow_private: bool,
}

impl Egress {
    pub fn new(options: &Options) -> Result<Self, RegistryError> {
        // An error means that the process has chosen a provider already; any will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = |reach| client(options, reach).map_err(RegistryError::Client);
        let clients = [client(Reach::Public)?, client(Reach::Private)?, client(Reach::Loopback)?];
        Ok(Self { clients, allow_private: options.allow_private })
    }

    /// Finds out how near a registry is; the nearest of its addresses counts.
    pub async fn reach(&self, base: &Url) -> Result<Reach, RegistryError> {
        let host = base.host_str().unwrap_or_default().to_owned();
        let addresses = match base.host() {
            Some(Host::Ipv4(address)) => vec![IpAddr::V4(address)],
            Some(Host::Ipv6(address)) => vec![IpAddr::V6(address)],
            _ if is_loopback(base) => return Ok(Reach::Loopback),
            _ => lookup(&host).await.map_err(|source| RegistryError::Lookup { host: host.clone(), source })?,
        };
        let found: Vec<Reach> = addresses.into_iter().filter_map(reach).collect();
        match found.into_iter().max() {
            None => Err(forbidden(base, "it is a link-local, multicast or reserved address")),
            Some(Reach::Private | Reach::Loopback) if !self.allow_private && !is_loopback(base) => {
                Err(forbidden(base, "registries on private networks are not allowed"))
            }
            Some(reach) => Ok(reach),
        }
    }

    /// The client for requests on behalf of a registry of that reach, after a look at the URL. Addresses that are
    /// written out never see the resolver, so they are looked at here.
    pub fn client(&self, limit: Reach, url: &Url) -> Result<&reqwest::Client, RegistryError> {
        let written = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(forbidden(url, "it names no host")),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(forbidden(url, "only http and https are spoken"));
        }
        match written {
            Some(address) if reach(address).is_none_or(|found| found > limit) => {
                Err(forbidden(url, "the address is nearer than the registry that led there"))
            }
            _ => Ok(&self.clients[limit as usize]),
        }
    }
}

/// Whether a URL means this machine by its text alone.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => reach(IpAddr::V6(address)) == Some(Reach::Loopback),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn client(options: &Options, reach: Reach) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent(concat!("crannog/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .dns_resolver(Guarded { limit: reach })
        .build()
}

/// Resolves names and leaves out addresses that are too near; the connection uses exactly what it gives.
#[derive(Debug, Clone, Copy)]
struct Guarded {
    limit: Reach,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let limit = self.limit;
        Box::pin(async move {
            let found = lookup(name.as_str()).await?;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach(*address).is_some_and(|found| found <= limit))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            match allowed.is_empty() {
                true => Err("its addresses are nearer than the registry that led there".into()),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

async fn lookup(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

/// `None`: never to be contacted.
fn reach(address: IpAddr) -> Option<Reach> {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Option<Reach> {
    let [a, b, c, _] = address.octets();
    match (a, b) {
        (127, _) => Some(Reach::Loopback),
        (0, _) | (224..=255, _) | (169, 254) => None,
        (192, 0) if c == 0 => None,
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) | (198, 18..=19) => Some(Reach::Private),
        _ => Some(Reach::Public),
    }
}

/// An address that carries an IPv4 address within (mapped, compatible, NAT64, 6to4) is as near as that one.
fn reach_v6(address: Ipv6Addr) -> Option<Reach> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| reach_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reach::Loopback),
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [first, ..] if first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 => None,
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 || first == 0x64 => Some(Reach::Private),
        // Teredo hides its addresses; nothing of ours is there.
        [0x2001, 0, ..] => None,
        _ => Some(Reach::Public),
    }
}

fn forbidden(url: &Url, problem: &'static str) -> RegistryError {
    RegistryError::Forbidden { url: url.origin().ascii_serialization(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Reach> {
        let url = Url::parse(&format!("http://{text}/")).expect("a URL");
        match url.host().expect("a host") {
            Host::Ipv4(address) => reach(IpAddr::V4(address)),
            Host::Ipv6(address) => reach(IpAddr::V6(address)),
            Host::Domain(name) => panic!("{name} is no address"),
        }
    }

    #[test]
    fn this_machine_is_known_in_every_spelling() {
        for text in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "127.255.255.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[0:0:0:0:0:ffff:7f00:1]",
        ] {
            assert_eq!(of(text), Some(Reach::Loopback), "{text}");
        }
    }

    #[test]
    fn metadata_services_and_the_like_are_never_contacted() {
        for text in [
            "169.254.169.254",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
            "0",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "255.255.255.255",
            "[ff02::1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[2001:0:1::]",
            "192.0.0.192",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn private_networks_are_told_from_the_internet() {
        for text in ["10.0.0.1", "172.16.0.1", "172.31.255.1", "192.168.1.1", "100.64.0.1", "[fd00::1]", "[::ffff:10.0.0.1]"] {
            assert_eq!(of(text), Some(Reach::Private), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]"] {
            assert_eq!(of(text), Some(Reach::Public), "{text}");
        }
    }

    #[test]
    fn a_registry_leads_only_as_near_as_it_is_itself() {
        let egress = Egress::new(&Options::default()).expect("clients");
        let url = |text: &str| Url::parse(text).expect("a URL");
        egress.client(Reach::Public, &url("http://10.0.0.1/")).expect_err("inside");
        egress.client(Reach::Private, &url("http://127.0.0.1/")).expect_err("this machine");
        egress.client(Reach::Loopback, &url("http://169.254.169.254/")).expect_err("metadata");
        egress.client(Reach::Loopback, &url("ftp://127.0.0.1/")).expect_err("another protocol");
        egress.client(Reach::Loopback, &url("http://127.0.0.1:5000/")).expect("itself");
    }
}
