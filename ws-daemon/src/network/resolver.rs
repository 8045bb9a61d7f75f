//! The `/etc/resolv.conf` of instances, made from the node's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// What instances are told, and whom they may therefore ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolver {
    /// Text for `/etc/resolv.conf`.
    pub(super) text: String,
    /// Name servers; port 53 of these is open, wherever they are.
    pub(super) servers: BTreeSet<Ipv4Addr>,
}

/// Reads the node's configuration. A stub on loopback (systemd-resolved's 127.0.0.53) cannot be reached from elsewhere,
/// so its own upstreams are taken.
pub(super) fn read(resolv_conf: &Path, upstream: &Path) -> Resolver {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    let own = text(resolv_conf);
    let from_own = servers(&own);
    if from_own.is_empty() { compose(&own, &servers(&text(upstream))) } else { compose(&own, &from_own) }
}

/// Name servers that an instance can reach: IPv4, and not on loopback.
fn servers(text: &str) -> Vec<Ipv4Addr> {
    let address = |line: &str| match line.strip_prefix("nameserver")?.trim().parse().ok()? {
        IpAddr::V4(address) if !address.is_loopback() && !address.is_unspecified() => Some(address),
        _ => None,
    };
    text.lines().filter_map(address).take(3).collect()
}

fn compose(own: &str, servers: &[Ipv4Addr]) -> Resolver {
    let mut text = String::new();
    if servers.is_empty() {
        text.push_str("# the node has no name server that can be reached from here\n");
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    for line in own.lines().filter(|line| line.starts_with("search ") || line.starts_with("options ")) {
        text.push_str(line);
        text.push('\n');
    }
    Resolver { text, servers: servers.iter().copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &str, upstream: &str, expected: &str) {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, second) = (directory.path().join("own"), directory.path().join("upstream"));
        std::fs::write(&first, own).expect("write");
        std::fs::write(&second, upstream).expect("write");
        assert_eq!(read(&first, &second).text, expected);
    }

    #[test]
    fn a_name_server_that_can_be_reached_is_passed_on_with_search_and_options() {
        check(
            "# made\nnameserver 192.0.2.53\nnameserver ::1\nsearch lan\noptions edns0\n",
            "nameserver 192.0.2.99\n",
            "nameserver 192.0.2.53\nsearch lan\noptions edns0\n",
        );
    }

    #[test]
    fn a_stub_on_loopback_is_replaced_by_its_upstreams() {
        check("nameserver 127.0.0.53\nsearch lan\n", "nameserver 192.0.2.1\n", "nameserver 192.0.2.1\nsearch lan\n");
    }

    #[test]
    fn a_node_without_a_name_server_says_so() {
        check("", "", "# the node has no name server that can be reached from here\n");
    }
}
