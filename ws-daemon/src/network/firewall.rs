//! The rules, as one table of nftables: `inet crannog`. The fixed part is one text, put in force atomically as often as
//! one likes; each instance adds one element, the pair of its link and its address.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use domain::class::Class;

use super::addresses::{PrivateRange, Subnet};
use super::links::PREFIX;
use crate::error::NodeError;

/// The fixed part. What comes from an instance is judged before any address translation (priority mangle), so that a port
/// that somebody publishes on the node is no way around.
const RULES: &str = r#"
add table inet crannog
add set inet crannog sources { type ifname . ipv4_addr; }
add set inet crannog resolvers { type ipv4_addr; }
add set inet crannog ranges { type ipv4_addr; flags interval; auto-merge; }
add chain inet crannog prerouting { type filter hook prerouting priority mangle; policy accept; }
add chain inet crannog input { type filter hook input priority filter - 5; policy accept; }
add chain inet crannog forward { type filter hook forward priority filter - 5; policy accept; }
add chain inet crannog postrouting { type nat hook postrouting priority srcnat; policy accept; }
add chain inet crannog from_instance
flush set inet crannog sources
flush set inet crannog resolvers
flush set inet crannog ranges
flush chain inet crannog prerouting
flush chain inet crannog input
flush chain inet crannog forward
flush chain inet crannog postrouting
flush chain inet crannog from_instance
add rule inet crannog prerouting iifname "crn*" jump from_instance
add rule inet crannog from_instance meta nfproto != ipv4 drop comment "only IPv4 has a way out"
add rule inet crannog from_instance iifname . ip saddr != @sources drop comment "its own address only"
add rule inet crannog from_instance ip daddr @resolvers udp dport 53 return comment "names"
add rule inet crannog from_instance ip daddr @resolvers tcp dport 53 return comment "names"
add rule inet crannog from_instance fib daddr type != unicast drop comment "not the node itself, on any address"
add rule inet crannog from_instance ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 100.100.100.200, 168.63.129.16 } drop comment "link-local, services of clouds"
add rule inet crannog from_instance ip daddr @ranges drop comment "not another instance"
add rule inet crannog input iifname "crn*" ip daddr @resolvers udp dport 53 accept
add rule inet crannog input iifname "crn*" ip daddr @resolvers tcp dport 53 accept
add rule inet crannog input iifname "crn*" drop
add rule inet crannog forward iifname "crn*" oifname "crn*" drop
add rule inet crannog forward oifname "crn*" ct state established,related accept
add rule inet crannog forward oifname "crn*" drop comment "no way in"
add rule inet crannog postrouting ip saddr @ranges oifname != "crn*" masquerade
"#;

/// Names of links, and the only address that may send through each.
pub(super) type Sources = BTreeMap<String, Ipv4Addr>;

/// Says what to install when the program is not there.
pub(super) fn check_program() -> Result<(), NodeError> {
    debug_assert!(RULES.contains(&format!("\"{PREFIX}*\"")));
    let found = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(NodeError::refused(
            Class::Unimplemented,
            "NftablesMissing",
            "the program nft is not there or does not run",
            "install the package nftables",
        )),
    }
}

/// Puts the fixed part in force with whose address is whose, which name servers may be asked, and the node's range. What
/// was there of these before goes in the same moment, so what a crash left does too.
pub(super) fn apply(range: PrivateRange, resolvers: &BTreeSet<Ipv4Addr>, sources: &Sources) -> Result<(), NodeError> {
    let elements = |set: &str, elements: Vec<String>| match elements.is_empty() {
        true => String::new(),
        false => format!("add element inet crannog {set} {{ {} }}\n", elements.join(", ")),
    };
    // Subnets of instances of other daemons, whose ranges may be others, as well as the own range.
    let subnets = sources.values().map(|address| format!("{}/{}", Subnet::around(*address).network(), Subnet::PREFIX));
    let ranges = elements("ranges", subnets.chain([range.to_string()]).collect());
    let servers = elements("resolvers", resolvers.iter().map(ToString::to_string).collect());
    let pairs = elements("sources", sources.iter().map(|(link, address)| format!("\"{link}\" . {address}")).collect());
    run("put the rules for instances in force", &format!("{RULES}{ranges}{servers}{pairs}"))
}

/// Whether the rules are there. Whoever reloads another firewall may flush everybody's.
pub(super) fn is_in_force() -> bool {
    let mut list = Command::new("nft");
    list.args(["list", "chain", "inet", "crannog", "from_instance"]).stderr(Stdio::null());
    list.output().is_ok_and(|output| output.status.success() && String::from_utf8_lossy(&output.stdout).contains("@sources"))
}

/// Takes everything away. For when no instance is left on the machine.
pub(super) fn withdraw() -> Result<(), NodeError> {
    run("withdraw the rules for instances", "add table inet crannog\ndelete table inet crannog\n")
}

/// Hands a text to `nft`, which takes it whole or not at all.
fn run(doing: &str, rules: &str) -> Result<(), NodeError> {
    let io = || NodeError::io(format!("{doing} (nft)"));
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes()).map_err(io())?;
    }
    let output = child.wait_with_output().map_err(io())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NodeError::Inside { doing: doing.to_owned(), source: anyhow::anyhow!("nft: {said}") })
}
