//! Which host leads where, and that nothing else does.

use crate::servers::Recorder;
use crate::world::{World, token_header};

#[tokio::test]
async fn tm_24_only_a_strictly_written_host_leads_into_a_workspace() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 3000, recorder.serve().await);
    let status = async |host: &str| world.get(host, "/", &[&token_header()]).await.status;
    for host in ["3000-app.localhost", "3000-app.localhost:7280", "3000-app.localhost:80"] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    let (passed, dialled) = (recorder.requests().len(), world.node.dialled().len());
    for host in [
        "03000-app.localhost",
        "+3000-app.localhost",
        "-3000-app.localhost",
        "3000 -app.localhost",
        "65536-app.localhost",
        "0-app.localhost",
        "3000-APP.localhost",
        "3000-app-.localhost",
        "3000--app.localhost",
        "app.localhost",
        "3000.localhost",
        "3000-.localhost",
        "-app.localhost",
        "3000-app.x.localhost",
        "x.3000-app.localhost",
        "3000_app.localhost",
        "3000-app..localhost",
        "localhost",
        ".localhost",
        "3000-nobody.localhost",
        "0x0bb8-app.localhost",
        "3e3-app.localhost",
        "3000-app.localhost:080",
        "3000-app.localhost:+80",
        "3000-app.localhost:99999",
    ] {
        assert_eq!(status(host).await, 404, "{host:?}");
    }
    for host in [
        "3000-app.localhost.",
        "3000-app.LOCALHOST",
        "3000-app.localhost.evil.example",
        "3000-app.evil.example",
        "127.0.0.1:7280",
        "[::1]:7280",
        "3000-app",
        "3000-app.localhost@evil.example",
        "evil.example",
        "3000-app.evillocalhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
    ] {
        assert_eq!(status(host).await, 421, "{host:?}");
    }
    for host in ["80@3000-app.localhost", "user:pass@3000-app.localhost", "3000-app.localhost:80:80", "3000-app.localhost/x", ""]
    {
        let status = status(host).await;
        assert!(matches!(status, 400 | 404 | 421), "{host:?}: {status}");
    }
    assert_eq!((recorder.requests().len(), world.node.dialled().len()), (passed, dialled), "nothing was even dialled");
}

#[tokio::test]
async fn tm_24_neither_path_nor_other_headers_choose_the_port() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 3000, recorder.serve().await);
    let headers =
        [&token_header(), "X-Forwarded-Host: 22-app.localhost", "X-Host: 22-app.localhost", "Forwarded: host=22-app.localhost"];
    for path in ["/22/", "//22-app.localhost/", "/../../22", "/%2e%2e/", "/@22-app.localhost", "/?host=22-app.localhost"] {
        assert_eq!(world.get("3000-app.localhost", path, &headers).await.status, 200, "{path}");
    }
    let paths: Vec<_> = recorder.requests().iter().map(|request| request.split(' ').nth(1).expect("a path").to_owned()).collect();
    assert_eq!(
        paths,
        ["/22/", "//22-app.localhost/", "/../../22", "/%2e%2e/", "/@22-app.localhost", "/?host=22-app.localhost"],
        "paths pass as written"
    );
    assert!(world.node.dialled().iter().all(|(instance, port)| (instance.as_str(), *port) == ("i1", 3000)));
}

#[tokio::test]
async fn a_thousand_hosts_that_nobody_has_ask_the_orchestrator_nothing() {
    let world = World::new().await;
    let mut client = world.connect().await;
    for guess in 0..1000 {
        client.send(format!("GET / HTTP/1.1\r\nHost: 3000-w{guess}.localhost\r\nx-crannog-token: guess\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 404);
    }
    assert_eq!((world.orchestrator.checks(), world.node.dialled().len()), (0, 0));
}

#[tokio::test]
async fn a_method_or_expectation_that_is_not_passed_on_is_named() {
    let world = World::new().await;
    let ask = async |line: &str, extra: &str| {
        world.raw(format!("{line}\r\nHost: 8080-app.localhost\r\n{extra}Connection: close\r\n\r\n")).await.status
    };
    assert_eq!(ask("TRACE / HTTP/1.1", "").await, 405);
    assert_eq!(ask("CONNECT 8080-app.localhost:80 HTTP/1.1", "").await, 405);
    assert_eq!(ask("GET / HTTP/1.1", "Expect: miracles\r\n").await, 417);
    assert_eq!(ask("GET http://8080-other.localhost/ HTTP/1.1", "").await, 400);
    assert_eq!(world.raw("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.status, 400, "no Host");
    assert_eq!(world.get("8080-app.localhost", "/_crannog/anything", &[]).await.status, 404);
    assert!(world.node.dialled().is_empty());
}
