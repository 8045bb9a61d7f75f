//! Which addresses are whose. A /30 for each instance: the node has the first usable address, the instance the second.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What a node takes addresses from, "10.201.0.0/16" when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateRange {
    network: u32,
    prefix: u8,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a private IPv4 network from /8 to /29, such as 10.201.0.0/16")]
pub struct RangeError(String);

impl Default for PrivateRange {
    fn default() -> Self {
        Self { network: u32::from(Ipv4Addr::new(10, 201, 0, 0)), prefix: 16 }
    }
}

impl FromStr for PrivateRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = || RangeError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address: Ipv4Addr = address.parse().map_err(|_| error())?;
        let prefix: u8 = prefix.parse().map_err(|_| error())?;
        // 100.64.0.0/10 is for carriers, and so for nobody on a node.
        let is_carrier = address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
        let network = u32::from(address);
        let is_whole = (8..=29).contains(&prefix) && network.trailing_zeros() >= 32 - u32::from(prefix);
        if is_whole && (address.is_private() || is_carrier) { Ok(Self { network, prefix }) } else { Err(error()) }
    }
}

impl fmt::Display for PrivateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

impl PrivateRange {
    /// How many instances have room.
    fn subnets(self) -> u32 {
        1 << (30 - u32::from(self.prefix))
    }

    fn subnet(self, index: u32) -> Subnet {
        Subnet(self.network + index * 4)
    }
}

/// A /30, by its network address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subnet(u32);

impl Subnet {
    /// How long its prefix is.
    pub(super) const PREFIX: u8 = 30;

    /// The one that an address is in, of either side.
    pub(super) fn around(address: Ipv4Addr) -> Self {
        Self(u32::from(address) & !3)
    }

    /// Its first address, which nobody has.
    pub(super) fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0)
    }

    /// The node's side.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 1)
    }

    /// The instance's side.
    pub(super) fn instance(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 2)
    }
}

/// Gives out subnets in turn, so that one comes back as late as can be, and never before its quarantine is over.
pub(super) struct Ledger {
    range: PrivateRange,
    quarantine: Duration,
    next: u32,
    released: BTreeMap<Subnet, Instant>,
}

impl Ledger {
    /// Begins somewhere in the range: what was released before a restart of the daemon is not known any more.
    pub(super) fn new(range: PrivateRange, quarantine: Duration) -> Self {
        let next = rand::random_range(0..range.subnets());
        Self { range, quarantine, next, released: BTreeMap::new() }
    }

    /// A subnet none of whose addresses the node has.
    pub(super) fn take(&mut self, taken: &BTreeSet<Ipv4Addr>) -> Option<Subnet> {
        self.released.retain(|_, since| since.elapsed() < self.quarantine);
        let in_use: BTreeSet<Subnet> = taken.iter().map(|address| Subnet::around(*address)).collect();
        let count = self.range.subnets();
        let candidates = (0..count).map(|step| (self.next + step) % count);
        let free = |index: &u32| {
            let subnet = self.range.subnet(*index);
            !in_use.contains(&subnet) && !self.released.contains_key(&subnet)
        };
        let found = candidates.into_iter().find(free)?;
        self.next = (found + 1) % count;
        Some(self.range.subnet(found))
    }

    /// Begins the quarantine of a subnet.
    pub(super) fn release(&mut self, subnet: Subnet) {
        self.released.insert(subnet, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_whole_private_network() {
        for good in ["10.201.0.0/16", "192.168.4.0/29", "172.16.0.0/12", "100.64.0.0/10"] {
            assert_eq!(good.parse::<PrivateRange>().map(|range| range.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "10.201.0.0", "10.201.0.1/16", "10.0.0.0/30", "8.8.0.0/16", "10.0.0.0/x", "::/16"] {
            assert!(bad.parse::<PrivateRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_not_given_out_again_before_its_quarantine_is_over() {
        let range: PrivateRange = "10.9.0.0/29".parse().expect("a range");
        let mut ledger = Ledger::new(range, Duration::from_secs(3600));
        let first = ledger.take(&BTreeSet::new()).expect("two subnets are free");
        ledger.release(first);
        let second = ledger.take(&BTreeSet::new()).expect("one is free");
        assert_ne!(first, second);
        assert_eq!(ledger.take(&BTreeSet::from([second.gateway()])), None, "one in use, one in quarantine");
        ledger.quarantine = Duration::ZERO;
        assert_eq!(ledger.take(&BTreeSet::from([second.gateway()])), Some(first));
    }

    #[test]
    fn a_subnet_has_one_address_for_each_side() {
        let subnet = Subnet::around(Ipv4Addr::new(10, 201, 7, 9));
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 201, 7, 9));
        assert_eq!(subnet.instance(), Ipv4Addr::new(10, 201, 7, 10));
        assert_eq!(Subnet::around(subnet.instance()), subnet);
    }
}
