//! Forwarding: switched on in the kernel, and let through where another firewall of the machine says no.
//!
//! dockerd sets the policy of FORWARD to DROP. An accept in our own table cannot overrule that: every chain on a hook must
//! let a packet through. So an accept is put where Docker leaves room for it (DOCKER-USER), or at the head of FORWARD. Our
//! own table still judges the same packets, before.

use std::process::{Command, Stdio};

use super::links::PREFIX;
use super::write_sysctl;
use crate::error::NodeError;

/// Switches forwarding on and puts the accepts where they are needed.
pub(super) fn ensure() -> Result<(), NodeError> {
    write_sysctl("net/ipv4/ip_forward", "1").map_err(NodeError::io("switch IPv4 forwarding on"))?;
    let Some(chain) = chain_in_the_way() else { return Ok(()) };
    for rule in accepts() {
        let is_there = iptables(&[&["-C", chain], rule.as_slice()].concat());
        if !is_there && !iptables(&[&["-I", chain], rule.as_slice()].concat()) {
            tracing::warn!(chain, "iptables took no accept for instances: they may have no way out");
        }
    }
    Ok(())
}

/// Takes the accepts away. Forwarding stays on: others may have come to need it.
pub(super) fn withdraw() {
    for chain in ["DOCKER-USER", "FORWARD"] {
        if says(chain).is_some_and(|rules| rules.contains(PREFIX)) {
            for rule in accepts() {
                while iptables(&[&["-D", chain], rule.as_slice()].concat()) {}
            }
        }
    }
}

/// What goes out, and the answers to it.
fn accepts() -> [Vec<&'static str>; 2] {
    [
        vec!["-i", "crn+", "-j", "ACCEPT"],
        vec!["-o", "crn+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
    ]
}

/// The chain of iptables in which the accepts have to stand; `None` when iptables lets everything through.
fn chain_in_the_way() -> Option<&'static str> {
    if says("DOCKER-USER").is_some() {
        return Some("DOCKER-USER");
    }
    let forward = says("FORWARD")?;
    let lets_through = forward.lines().all(|line| line == "-P FORWARD ACCEPT" || line.contains(PREFIX));
    (!lets_through).then_some("FORWARD")
}

/// The rules of a chain; `None` when there is no such chain, or no iptables.
fn says(chain: &str) -> Option<String> {
    let output = Command::new("iptables").args(["-w", "5", "-S", chain]).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn iptables(arguments: &[&str]) -> bool {
    let mut command = Command::new("iptables");
    command.args(["-w", "5"]).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
