//! From sockets, rules and the owner's choices to the list of ports that people see. No I/O.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::v1::{PortRule, PortStatus, Visibility};

use super::listening::Listening;
use super::owners::Owner;

/// Rules of the configuration, and what the owner chose since.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rules: Vec<PortRule>,
    chosen: BTreeMap<u16, Visibility>,
    url_template: String,
    hidden: Vec<u16>,
}

impl Table {
    /// `hidden` are ports of our own, never listed; `url_template` holds `{port}`.
    pub fn new(rules: Vec<PortRule>, url_template: String, hidden: Vec<u16>) -> Self {
        Self { rules, chosen: BTreeMap::new(), url_template, hidden }
    }

    /// The owner's word about one port; stronger than the configuration's.
    pub fn choose(&mut self, port: u16, visibility: Visibility) {
        self.chosen.insert(port, visibility);
    }

    /// True for ports that people may not see or open.
    pub fn is_hidden(&self, port: u16) -> bool {
        self.hidden.contains(&port)
    }

    /// The list: configured ports in the order of the configuration, then others by number. `owner` says who holds a
    /// socket.
    pub fn list<'a>(&self, sockets: &[Listening], owner: impl Fn(u32) -> Option<&'a Owner>) -> Vec<PortStatus> {
        let served = best_of_each(sockets);
        let mut listed: BTreeMap<(usize, u16), PortStatus> = BTreeMap::new();
        for port in self.configured().chain(served.keys().copied()) {
            let rank = self.rank(port);
            if self.is_hidden(port) || self.rule(port).is_some_and(|r| r.on_open == "ignore-completely") {
                continue;
            }
            let socket = served.get(&port).copied();
            listed.entry((rank, port)).or_insert_with(|| self.status(port, socket, socket.and_then(|s| owner(s.inode))));
        }
        listed.into_values().collect()
    }

    /// Ports that are named one by one; a range lists only those of its ports that are served.
    fn configured(&self) -> impl Iterator<Item = u16> {
        self.rules.iter().filter(|r| r.last <= r.first).filter_map(|r| u16::try_from(r.first).ok()).filter(|p| *p != 0)
    }

    fn rank(&self, port: u16) -> usize {
        self.rule_index(port).unwrap_or(usize::MAX)
    }

    fn rule(&self, port: u16) -> Option<&PortRule> {
        self.rules.get(self.rule_index(port)?)
    }

    /// An exact rule goes before a range; among equals the first of the file.
    fn rule_index(&self, port: u16) -> Option<usize> {
        let port = u32::from(port);
        let exact = self.rules.iter().position(|r| r.first == port && r.last <= port);
        exact.or_else(|| self.rules.iter().position(|r| r.first <= port && port <= r.last))
    }

    fn status(&self, port: u16, socket: Option<&Listening>, owner: Option<&Owner>) -> PortStatus {
        let rule = self.rule(port);
        PortStatus {
            port: port.into(),
            served: socket.is_some(),
            bind: socket.map(|s| s.address.to_string()).unwrap_or_default(),
            process: owner.map(|o| o.process.clone()).unwrap_or_default(),
            pid: owner.map(|o| o.pid).unwrap_or_default(),
            visibility: self.visibility(port).into(),
            url: self.url_template.replace("{port}", &port.to_string()),
            name: rule.map(|r| r.name.clone()).unwrap_or_default(),
            description: rule.map(|r| r.description.clone()).unwrap_or_default(),
            on_open: on_open(rule, port).to_owned(),
            protocol: rule.map(|r| r.protocol.as_str()).filter(|p| *p == "https").unwrap_or("http").to_owned(),
        }
    }

    /// Private unless something says public: the owner, or the repository's configuration.
    fn visibility(&self, port: u16) -> Visibility {
        let configured = || self.rule(port).map(PortRule::visibility);
        match self.chosen.get(&port).copied().or_else(configured) {
            Some(Visibility::Public) => Visibility::Public,
            _ => Visibility::Private,
        }
    }
}

/// As Gitpod: configured ports notify, others notify only where a person's server would be.
fn on_open(rule: Option<&PortRule>, port: u16) -> &str {
    match rule {
        Some(rule) if !rule.on_open.is_empty() => &rule.on_open,
        Some(_) => "notify",
        None if port <= 10_000 => "notify",
        None => "ignore",
    }
}

/// One socket for each port: one bound to all addresses rather than to one, and that rather than to loopback.
fn best_of_each(sockets: &[Listening]) -> BTreeMap<u16, &Listening> {
    let mut best: BTreeMap<u16, &Listening> = BTreeMap::new();
    for socket in sockets {
        let slot = best.entry(socket.port).or_insert(socket);
        if reach(&socket.address) > reach(&slot.address) {
            *slot = socket;
        }
    }
    best
}

fn reach(address: &IpAddr) -> u8 {
    let loopback = match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    };
    match (address.is_unspecified(), loopback) {
        (true, _) => 2,
        (false, false) => 1,
        (false, true) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(port: u16, address: &str) -> Listening {
        Listening { port, address: address.parse().expect("address"), inode: u32::from(port) }
    }

    fn rule(first: u32, last: u32, visibility: Visibility) -> PortRule {
        PortRule { first, last, visibility: visibility.into(), name: format!("rule {first}"), ..Default::default() }
    }

    fn table(rules: Vec<PortRule>) -> Table {
        Table::new(rules, "http://{port}-ws.localhost:7280".into(), vec![22999])
    }

    fn ports(list: &[PortStatus]) -> Vec<u32> {
        list.iter().map(|p| p.port).collect()
    }

    #[test]
    fn configured_ports_come_first_in_their_order_and_are_listed_before_anything_listens() {
        let table = table(vec![rule(8080, 8080, Visibility::Private), rule(3000, 3000, Visibility::Public)]);
        let list = table.list(&[socket(80, "0.0.0.0"), socket(3000, "::1")], |_| None);
        assert_eq!(ports(&list), [8080, 3000, 80]);
        assert_eq!(list.iter().map(|p| p.served).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(list[1].bind, "::1");
        assert_eq!(list[1].url, "http://3000-ws.localhost:7280");
    }

    #[test]
    fn a_port_is_private_unless_the_file_or_the_owner_says_public() {
        let mut table = table(vec![rule(3000, 3005, Visibility::Public), rule(4000, 4010, Visibility::Unspecified)]);
        let sockets = [socket(3003, "0.0.0.0"), socket(4001, "0.0.0.0"), socket(5000, "0.0.0.0")];
        let seen = |table: &Table| table.list(&sockets, |_| None).iter().map(PortStatus::visibility).collect::<Vec<_>>();
        assert_eq!(seen(&table), [Visibility::Public, Visibility::Private, Visibility::Private]);
        table.choose(3003, Visibility::Private);
        table.choose(5000, Visibility::Public);
        assert_eq!(seen(&table), [Visibility::Private, Visibility::Private, Visibility::Public]);
    }

    #[test]
    fn an_exact_rule_goes_before_a_range_that_comes_earlier() {
        let table = table(vec![rule(3000, 3999, Visibility::Private), rule(3500, 3500, Visibility::Public)]);
        let list = table.list(&[socket(3500, "127.0.0.1")], |_| None);
        assert_eq!(list[0].name, "rule 3500");
        assert_eq!(list[0].visibility(), Visibility::Public);
    }

    #[test]
    fn our_own_port_and_ignored_ones_are_not_listed() {
        let mut ignored = rule(9000, 9000, Visibility::Public);
        ignored.on_open = "ignore-completely".into();
        let table = table(vec![ignored, rule(22999, 22999, Visibility::Public)]);
        assert_eq!(ports(&table.list(&[socket(9000, "::"), socket(22999, "127.0.0.1")], |_| None)), [] as [u32; 0]);
    }

    #[test]
    fn of_several_binds_the_one_that_reaches_furthest_is_shown() {
        let sockets = [socket(3000, "127.0.0.1"), socket(3000, "::"), socket(3000, "10.0.0.2")];
        let list = table(vec![]).list(&sockets, |_| None);
        assert_eq!(ports(&list), [3000]);
        assert_eq!(list[0].bind, "::");
    }

    #[test]
    fn the_owner_is_named() {
        let node = Owner { pid: 42, process: "node".into() };
        let list = table(vec![]).list(&[socket(3000, "::")], |inode| (inode == 3000).then_some(&node));
        assert_eq!((list[0].pid, list[0].process.as_str()), (42, "node"));
    }
}
