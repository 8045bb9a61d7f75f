//! Host names at the edge (TM-24): one form is taken, and no other.

use domain::host::PortHost;
use proptest::prelude::*;

#[test]
fn the_one_form_names_a_port_of_a_workspace() {
    let host = PortHost::parse("3000-my-app.localhost:7280", "localhost").expect("the form");
    assert_eq!((host.port, host.name.as_str(), host.edge_port), (3000, "my-app", Some(7280)));
    let host = PortHost::parse("65535-8080-x.ws.example.org", "ws.example.org").expect("a name may begin with digits");
    assert_eq!((host.port, host.name.as_str(), host.edge_port), (65535, "8080-x", None));
}

#[test]
fn every_trick_is_refused() {
    let long = format!("1-{}.localhost", "a".repeat(51));
    let huge = format!("1-{}.localhost", "a".repeat(65_536));
    let tricks = [
        "",
        " ",
        ".",
        "..",
        ":",
        "-",
        "localhost",
        ".localhost",
        "-.localhost",
        "1.localhost",
        "1-.localhost",
        "-a.localhost",
        "a.localhost",
        "a-1.localhost",
        "0-a.localhost",
        "00-a.localhost",
        "01-a.localhost",
        "08080-a.localhost",
        "+80-a.localhost",
        "-80-a.localhost",
        " 80-a.localhost",
        "80 -a.localhost",
        "80- a.localhost",
        "80-a .localhost",
        "80-a. localhost",
        "80-a.localhost ",
        "65536-a.localhost",
        "99999-a.localhost",
        "999999-a.localhost",
        "4294967376-a.localhost",
        "18446744073709551696-a.localhost",
        "8e1-a.localhost",
        "0x50-a.localhost",
        "0b1-a.localhost",
        "0o120-a.localhost",
        "8_0-a.localhost",
        "80.0-a.localhost",
        "80,0-a.localhost",
        "٨٠-a.localhost",
        "８０-a.localhost",
        "²-a.localhost",
        "½-a.localhost",
        "80--a.localhost",
        "80-a-.localhost",
        "80-A.localhost",
        "80-a.LOCALHOST",
        "80-a.Localhost",
        "80-a.localhost.",
        "80-a.localhost..",
        ".80-a.localhost",
        "80-a..localhost",
        "80-.a.localhost",
        "80-a.b.localhost",
        "a.80-b.localhost",
        "80-a_b.localhost",
        "80-a%2eb.localhost",
        "80-a%00.localhost",
        "80%2da.localhost",
        "80-ä.localhost",
        "80-xn--\u{e4}.localhost",
        "80-а.localhost",
        "80-a\u{200b}.localhost",
        "80-a\u{ad}.localhost",
        "80\u{2010}a.localhost",
        "80\u{2212}a.localhost",
        "80-a\u{3002}localhost",
        "80-a\u{ff0e}localhost",
        "80-a.localhost\0",
        "80-a\0.localhost",
        "80-a.localhost\r\n",
        "80-a.localhost\nHost: b",
        "\t80-a.localhost",
        "80-a.localhost\t",
        "80-a.localhost#",
        "80-a.localhost/",
        "80-a.localhost/x",
        "80-a.localhost?x",
        "/80-a.localhost",
        "http://80-a.localhost",
        "//80-a.localhost",
        "80-a.localhost\\",
        "80-a.localhost;x",
        "80-a.localhost,80-b.localhost",
        "80@evil",
        "80-a.localhost@evil",
        "evil@80-a.localhost",
        "user:pass@80-a.localhost",
        "80-a@.localhost",
        "80-a.localhost:",
        "80-a.localhost:0",
        "80-a.localhost:00",
        "80-a.localhost:080",
        "80-a.localhost:+80",
        "80-a.localhost:-80",
        "80-a.localhost: 80",
        "80-a.localhost:80 ",
        "80-a.localhost:65536",
        "80-a.localhost:80:80",
        "80-a.localhost:x",
        "80-a.localhost:80/x",
        "80-a.localhost:80@x",
        ":80-a.localhost",
        "80:-a.localhost",
        "[::1]",
        "[::1]:80",
        "::1",
        "127.0.0.1",
        "127.0.0.1:80",
        "[80-a.localhost]",
        "80-a.evil",
        "80-a.localhost.evil",
        "80-a.evillocalhost",
        "80-alocalhost",
        "80-a.localhos",
        "80-a.ocalhost",
        "80-a.localhost.localhost",
        "*.localhost",
        "*-a.localhost",
        "80-*.localhost",
        "80-a*.localhost",
        "${80}-a.localhost",
        "80-'a.localhost",
        "80-\"a.localhost",
        "80-<a>.localhost",
        "80-a|b.localhost",
        "80-a(b).localhost",
        "80-a`.localhost",
        "80-a~.localhost",
        "80-a!.localhost",
        "80-a=.localhost",
        long.as_str(),
        huge.as_str(),
    ];
    assert!(tricks.len() > 120, "{}", tricks.len());
    for trick in tricks {
        let error = PortHost::parse(trick, "localhost").expect_err(trick);
        assert!(error.to_string().len() < 600, "{trick}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_and_what_is_read_is_written_so(
        port in 1_u16..,
        name in "[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?",
        suffix in "(localhost|ws\\.example\\.org)",
        edge_port in prop::option::of(1_u16..),
    ) {
        let host = PortHost { port, name, suffix: suffix.clone(), edge_port };
        prop_assert_eq!(PortHost::parse(&host.to_string(), &suffix), Ok(host));
    }

    #[test]
    fn whatever_is_read_is_written_as_it_stood(text in "[0-9a-zA-Z+.: @-]{0,30}") {
        let text = format!("{text}.localhost");
        if let Ok(host) = PortHost::parse(&text, "localhost") {
            prop_assert_eq!(host.to_string(), text);
        }
    }
}
