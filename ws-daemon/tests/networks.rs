//! The networks of instances, with real namespaces: each test has a machine of its own (a network namespace) and a world
//! outside it (another one), so nothing of the machine that runs the tests is touched.

#[path = "networks/machine.rs"]
mod machine;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use domain::class::{Class, Classify};
use machine::{Machine, on_a_machine};
use ws_daemon::ports::{InstanceNetwork, Networks};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2";

/// Connects from inside a network; what the server says. It is there, so however busy the machine is, it is waited for.
fn ask(from: &InstanceNetwork, to: &str) -> std::io::Result<String> {
    ask_within(from, to, Duration::from_secs(20))
}

/// Whether a connection does not come about. A server that is there answers in less than a millisecond.
fn is_denied(from: &InstanceNetwork, to: &str) -> bool {
    ask_within(from, to, Duration::from_millis(400)).is_err()
}

fn ask_within(from: &InstanceNetwork, to: &str, patience: Duration) -> std::io::Result<String> {
    let address: SocketAddr = to.parse().expect("an address");
    sys::netns::run_in(&from.namespace, || {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    })
}

/// A server that tells each client the client's address and hangs up.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

/// Waits until rules that were flushed are there again.
async fn rules_are_back(machine: &Machine) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !machine.said("nft", &["list", "ruleset"]).contains("@sources") {
        assert!(tokio::time::Instant::now() < deadline, "the rules did not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn an_instance_reaches_the_world_by_the_nodes_address() {
    on_a_machine(async |machine: &Machine| {
        serve(machine.world_listens("192.0.2.1:8000"));
        let a = machine.networks.create(A).await.expect("a network");
        assert_eq!(ask(&a, "192.0.2.1:8000").expect("the world answers"), "192.0.2.2");
        assert!(a.address.to_string().starts_with("10.201."), "{}", a.address);
    });
}

#[test]
fn an_instance_reaches_neither_another_nor_the_node_nor_link_local_addresses() {
    on_a_machine(async |machine: &Machine| {
        machine.ip_in_world("address add 169.254.169.254/32 dev up1");
        machine.ip("route add 169.254.169.254 via 192.0.2.1");
        serve(machine.world_listens("169.254.169.254:80"));
        serve(TcpListener::bind("0.0.0.0:7000").expect("a server of the node"));
        let a = machine.networks.create(A).await.expect("a network");
        let b = machine.networks.create(B).await.expect("another");
        let of_b = format!("{}:9000", b.address);
        serve(sys::netns::run_in(&b.namespace, || TcpListener::bind(&of_b)).expect("a server in B"));
        let gateway = std::net::Ipv4Addr::from(u32::from(a.address) - 1);
        let gateway_of_b = std::net::Ipv4Addr::from(u32::from(b.address) - 1);

        assert!(ask(&b, &of_b).is_ok(), "B reaches itself: the server is there");
        assert!(TcpStream::connect("192.0.2.2:7000").is_ok(), "the node reaches itself: the server is there");
        assert!(TcpStream::connect("169.254.169.254:80").is_ok(), "the node reaches it: the server is there");
        let denied = [
            of_b,
            format!("{gateway}:7000"),
            format!("{gateway_of_b}:7000"),
            "192.0.2.2:7000".into(),
            "169.254.169.254:80".into(),
        ];
        for target in denied {
            assert!(is_denied(&a, &target), "A reached {target}");
        }
    });
}

#[test]
fn nobody_outside_reaches_an_instance_even_with_a_route_to_it() {
    on_a_machine(async |machine: &Machine| {
        let a = machine.networks.create(A).await.expect("a network");
        let of_a = format!("{}:9000", a.address);
        serve(sys::netns::run_in(&a.namespace, || TcpListener::bind(&of_a)).expect("a server in A"));
        machine.ip_in_world("route add 10.201.0.0/16 via 192.0.2.2");
        let outside = InstanceNetwork { namespace: machine.world.clone(), ..a.clone() };
        assert!(ask(&a, &of_a).is_ok(), "A reaches itself: the server is there");
        assert!(is_denied(&outside, &of_a), "the world reached A");
        machine.nft("flush chain inet crannog forward\n");
        assert!(ask(&outside, &of_a).is_ok(), "without the rule it is reached, so it was the rule");
    });
}

#[test]
fn a_port_that_the_node_publishes_by_translation_is_no_way_around() {
    on_a_machine(async |machine: &Machine| {
        serve(machine.world_listens("192.0.2.1:8000"));
        let a = machine.networks.create(A).await.expect("a network");
        machine.nft(
            "add table ip published\n\
             add chain ip published pre { type nat hook prerouting priority dstnat; }\n\
             add rule ip published pre ip daddr 192.0.2.2 tcp dport 7000 dnat to 192.0.2.1:8000\n",
        );
        assert!(ask(&a, "192.0.2.1:8000").is_ok());
        assert!(is_denied(&a, "192.0.2.2:7000"), "a translated port of the node was reached");
    });
}

#[test]
fn a_spoofed_source_goes_nowhere() {
    on_a_machine(async |machine: &Machine| {
        let receiver = sys::netns::run_in(&machine.world, || UdpSocket::bind("192.0.2.1:9000")).expect("a receiver");
        receiver.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        let a = machine.networks.create(A).await.expect("a network");
        let own = format!("{}:0", a.address);
        for (source, words) in [(own.as_str(), "first"), ("192.0.2.77:0", "spoofed"), (own.as_str(), "last")] {
            sys::netns::run_in(&a.namespace, || {
                if words == "spoofed" {
                    machine.ip("address add 192.0.2.77/32 dev eth0");
                }
                UdpSocket::bind(source)?.send_to(words.as_bytes(), "192.0.2.1:9000")
            })
            .expect("sent");
        }
        let mut heard = Vec::new();
        let mut buffer = [0; 16];
        while heard.last().map(String::as_str) != Some("last") {
            let (length, _) = receiver.recv_from(&mut buffer).expect("the last one comes");
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert_eq!(heard, ["first", "last"]);
    });
}

#[test]
fn a_name_server_on_the_node_is_asked_for_names_and_nothing_else() {
    on_a_machine(async |machine: &Machine| {
        machine.resolv_conf("nameserver 192.0.2.2\nsearch lan\n");
        serve(TcpListener::bind("192.0.2.2:53").expect("a name server"));
        serve(TcpListener::bind("192.0.2.2:7000").expect("another server"));
        let a = machine.networks.create(A).await.expect("a network");
        assert_eq!(a.resolv_conf, "nameserver 192.0.2.2\nsearch lan\n");
        assert_eq!(ask(&a, "192.0.2.2:53").expect("names are answered"), a.address.to_string());
        assert!(is_denied(&a, "192.0.2.2:7000"));
    });
}

#[test]
fn inside_loopback_works_in_both_versions_and_nothing_else_has_ipv6() {
    on_a_machine(async |machine: &Machine| {
        let a = machine.networks.create(A).await.expect("a network");
        let read = |path: &'static str| sys::netns::run_in(&a.namespace, || std::fs::read_to_string(path)).expect(path);
        let addresses = read("/proc/thread-self/net/if_inet6");
        assert!(addresses.lines().count() == 1 && addresses.trim().ends_with("lo"), "{addresses}");
        assert_eq!(read("/proc/sys/net/ipv4/ip_unprivileged_port_start").trim(), "0");
        let link = format!("crn{:.12}", A);
        assert_eq!(std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6")).expect("sysctl").trim(), "1");
    });
}

#[test]
fn a_dial_reaches_servers_that_listen_on_loopback_only() {
    on_a_machine(async |machine: &Machine| {
        let a = machine.networks.create(A).await.expect("a network");
        for (port, address) in [(3000, "127.0.0.1:3000"), (3001, "[::1]:3001"), (3002, "0.0.0.0:3002")] {
            serve(sys::netns::run_in(&a.namespace, || TcpListener::bind(address)).expect(address));
            let socket = machine.networks.dial(A, port).await.expect(address);
            let stream = tokio::net::TcpStream::from_std(socket.into()).expect("a socket that does not block");
            stream.readable().await.expect("it answers");
            let mut buffer = [0; 64];
            let length = stream.try_read(&mut buffer).expect("it answers");
            assert!(["127.0.0.1", "::1"].contains(&&*String::from_utf8_lossy(&buffer[..length])), "{address}");
        }
        let nobody = machine.networks.dial(A, 4000).await.expect_err("nothing listens");
        assert_eq!((nobody.class(), nobody.reason()), (Class::Unavailable, "PortNotServed"));
        let stopped = machine.networks.dial(B, 3000).await.expect_err("no such instance");
        assert_eq!((stopped.class(), stopped.reason()), (Class::FailedPrecondition, "InstanceNotRunning"));
        let hostile = machine.networks.dial("../../proc/self/ns/net", 3000).await.expect_err("no id");
        assert_eq!(hostile.class(), Class::InvalidArgument);
    });
}

#[test]
fn what_a_killed_daemon_left_is_found_again_and_made_whole() {
    on_a_machine(async |machine: &Machine| {
        serve(machine.world_listens("192.0.2.1:8000"));
        let before = machine.networks.create(A).await.expect("a network");
        machine.networks.create(B).await.expect("another");
        // The daemon is killed; rules and one link are lost besides, the other namespace's file is all that is left.
        machine.nft("delete table inet crannog\n");
        machine.ip(&format!("link delete crn{:.12}", B));
        let next = machine.another_daemon().await;
        assert_eq!(next.list().await.expect("a list"), [A, B]);
        let after = next.create(A).await.expect("found");
        assert_eq!((after.address, &after.namespace), (before.address, &before.namespace));
        assert!(ask(&after, "192.0.2.1:8000").is_ok());
        let b = next.create(B).await.expect("made whole");
        assert!(ask(&b, "192.0.2.1:8000").is_ok());
        // After a reboot, files are there and namespaces are not.
        next.remove(B).await.expect("removed");
        std::fs::write(&b.namespace, "").expect("a file without a namespace");
        assert!(ask(&next.create(B).await.expect("made anew"), "192.0.2.1:8000").is_ok());
    });
}

#[test]
fn rules_that_another_firewalls_reload_flushes_come_back() {
    on_a_machine(async |machine: &Machine| {
        serve(machine.world_listens("192.0.2.1:8000"));
        serve(TcpListener::bind("192.0.2.2:7000").expect("a server of the node"));
        let a = machine.networks.create(A).await.expect("a network");
        machine.nft("flush ruleset\n");
        rules_are_back(machine).await;
        assert!(is_denied(&a, "192.0.2.2:7000"));
        assert!(ask(&a, "192.0.2.1:8000").is_ok());
    });
}

#[test]
fn nothing_is_left_after_the_last_remove_and_a_remove_bears_repeating() {
    on_a_machine(async |machine: &Machine| {
        let first = machine.networks.create(A).await.expect("a network");
        machine.networks.create(B).await.expect("another");
        for id in [A, A, B, B] {
            machine.networks.remove(id).await.expect("removed");
        }
        assert_eq!(machine.links(), ["lo", "up0"]);
        assert_eq!(machine.said("nft", &["list", "tables"]), "");
        assert_eq!(machine.networks.list().await.expect("a list"), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(&machine.namespaces).expect("the directory").count(), 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&machine.namespaces.display().to_string()), "a namespace is still bound");
        let again = machine.networks.create(A).await.expect("a network");
        assert_ne!(again.address, first.address, "its address is in quarantine");
    });
}

#[test]
fn links_take_over_the_mtu_of_the_way_out() {
    on_a_machine(async |machine: &Machine| {
        machine.ip("link set up0 mtu 1400");
        let a = machine.networks.create(A).await.expect("a network");
        let inside = sys::netns::run_in(&a.namespace, || Ok(machine.said("ip", &["link", "show", "eth0"]))).expect("eth0");
        assert!(inside.contains(" mtu 1400 "), "{inside}");
        assert!(machine.said("ip", &["link", "show", &format!("crn{A:.12}")]).contains(" mtu 1400 "));
    });
}

#[test]
fn a_forward_policy_of_drop_like_dockers_does_not_keep_instances_from_the_world() {
    if std::process::Command::new("iptables").arg("--version").output().is_err() {
        println!("skipped: there is no iptables; install the package iptables");
        return;
    }
    for chain in ["FORWARD", "DOCKER-USER"] {
        on_a_machine(async |machine: &Machine| {
            serve(machine.world_listens("192.0.2.1:8000"));
            machine.said("iptables", &["-P", "FORWARD", "DROP"]);
            if chain == "DOCKER-USER" {
                machine.said("iptables", &["-N", "DOCKER-USER"]);
                machine.said("iptables", &["-A", "FORWARD", "-j", "DOCKER-USER"]);
            }
            let before = machine.said("iptables", &["-S"]);
            let a = machine.networks.create(A).await.expect("a network");
            assert!(ask(&a, "192.0.2.1:8000").is_ok(), "{chain} drops what goes out");
            machine.networks.create(A).await.expect("the same again");
            assert_eq!(machine.said("iptables", &["-S"]).matches("crn+").count(), 2);
            machine.networks.remove(A).await.expect("removed");
            assert_eq!(machine.said("iptables", &["-S"]), before);
        });
    }
}

#[test]
fn a_full_range_is_said_with_what_to_do() {
    on_a_machine(async |machine: &Machine| {
        let tiny = machine.neighbour("10.77.0.0/29").await;
        tiny.create(A).await.expect("one");
        tiny.create(B).await.expect("two");
        let error = tiny.create("ccccccccccccccccccccccccccccccc3").await.expect_err("three");
        assert_eq!((error.class(), error.reason()), (Class::ResourceExhausted, "AddressesExhausted"));
        for id in [A, B, "ccccccccccccccccccccccccccccccc3"] {
            tiny.remove(id).await.expect("removed");
        }
    });
}

#[test]
fn two_daemons_on_one_machine_do_not_touch_each_other() {
    on_a_machine(async |machine: &Machine| {
        serve(machine.world_listens("192.0.2.1:8000"));
        let neighbour = machine.neighbour("10.77.0.0/24").await;
        let a = machine.networks.create(A).await.expect("a network");
        let b = neighbour.create(B).await.expect("the neighbour's");
        assert_eq!(
            (machine.networks.list().await.expect("own"), neighbour.list().await.expect("own")),
            (vec![A.into()], vec![B.into()])
        );
        let of_b = format!("{}:9000", b.address);
        serve(sys::netns::run_in(&b.namespace, || TcpListener::bind(&of_b)).expect("a server in B"));
        assert!(ask(&b, &of_b).is_ok() && is_denied(&a, &of_b), "A reached the neighbour's instance");
        machine.networks.remove(B).await.expect("not its own: nothing to do");
        machine.nft("flush ruleset\n");
        rules_are_back(machine).await;
        for instance in [&a, &b] {
            assert_eq!(ask(instance, "192.0.2.1:8000").expect("the way out"), "192.0.2.2");
        }
        machine.networks.remove(A).await.expect("removed");
        assert_eq!(ask(&b, "192.0.2.1:8000").expect("the neighbour's is untouched"), "192.0.2.2");
        neighbour.remove(B).await.expect("removed");
        assert_eq!(machine.said("nft", &["list", "tables"]), "");
    });
}
