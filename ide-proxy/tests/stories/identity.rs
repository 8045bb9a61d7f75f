//! What a workspace learns about who asks: what we vouch for, and none of our secrets.

use crate::servers::{Recorder, head, server};
use crate::world::{TOKEN, World, token_header};

#[tokio::test]
async fn tm_23_no_cookie_or_header_of_ours_reaches_the_workspace_in_any_protocol() {
    let (world, recorder) = (World::new().await, Recorder::default());
    let address = recorder.serve().await;
    world.node.lead("i1", 3000, address);
    world.node.lead("i1", 8080, address);
    let mine = "Cookie: theirs=1; __Host-crannog-session=a-good-session-token; more=2\r\nx-crannog-token: a-good-session-token\r\nX-Crannog-Anything: secret\r\n";
    for (host, extra) in [
        ("3000-app.localhost", ""),
        ("8080-app.localhost", ""),
        ("8080-app.localhost", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("8080-app.localhost", "Accept: text/event-stream\r\n"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{mine}{extra}\r\n");
        assert_eq!(world.raw(request).await.text(), "ok", "{host} {extra}");
    }
    assert_eq!(recorder.requests().len(), 4);
    for request in recorder.requests() {
        let lower = request.to_lowercase();
        assert!(!lower.contains("crannog") && !lower.contains(TOKEN) && !lower.contains("secret"), "{request}");
        assert!(request.contains("cookie: theirs=1; more=2\r\n"), "{request}");
    }
}

#[tokio::test]
async fn tm_23_trailers_are_cleaned_too() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::new().await;
    let reads = server(|mut socket| async move {
        let (_, mut body) = head(&mut socket).await.expect("a request");
        while !body.windows(10).any(|window| window == b"x-sum: 7\r\n") || !body.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut body).await.expect("body"), 0, "the whole body comes");
        }
        let clean = !String::from_utf8_lossy(&body).to_lowercase().contains("crannog");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{:5}", if clean { "clean" } else { "leak!" });
        socket.write_all(answer.as_bytes()).await.expect("answer");
    });
    world.node.lead("i1", 8080, reads.await);
    let trailers = format!("Cookie: __Host-crannog-session={TOKEN}\r\nx-crannog-token: {TOKEN}\r\nx-sum: 7\r\n\r\n");
    let request = "POST / HTTP/1.1\r\nHost: 8080-app.localhost\r\nTrailer: x-crannog-token, cookie, x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n";
    assert_eq!(world.raw(format!("{request}{trailers}")).await.text(), "clean");
}

#[tokio::test]
async fn tm_22_a_workspace_cannot_set_our_cookie() {
    let world = World::new().await;
    let sets = server(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        head(&mut socket).await.expect("a request");
        let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-crannog-session=planted; Secure; Path=/\r\nset-cookie: =__Host-crannog-session=planted\r\nSet-Cookie: mine=1\r\nx-crannog-secret: 1\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.expect("answer");
    });
    world.node.lead("i1", 8080, sets.await);
    let answer = world.get("8080-app.localhost", "/", &[]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, Some("mine=1")));
    assert!(!answer.head.to_lowercase().contains("crannog"), "{}", answer.head);
}

#[tokio::test]
async fn tm_31_what_a_client_claims_about_itself_is_overwritten() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 3000, recorder.serve().await);
    let claims = [
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-For: 7.7.7.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 1",
        "Forwarded: for=6.6.6.6;host=evil.example",
        "X-Real-IP: 6.6.6.6",
        "x-crannog-owner: root",
        "X-Forwarded-Prefix: /evil",
        "Origin: http://3000-app.localhost:7280",
    ];
    let answer = world.get("3000-app.localhost:7280", "/path?query", &[&[token_header().as_str()], &claims[..]].concat()).await;
    assert_eq!(answer.status, 200);
    let request = recorder.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /path?query http/1.1\r\n"), "{request}");
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: 3000-app.localhost:7280",
        "x-forwarded-port: 7280",
        "host: 3000-app.localhost:7280",
        "origin: http://3000-app.localhost:7280",
    ] {
        assert_eq!(request.lines().filter(|found| *found == line).count(), 1, "{line} in {request}");
    }
    assert!(
        !request.contains("evil")
            && !request.contains("6.6.6.6")
            && !request.contains("7.7.7.7")
            && !request.contains("\r\nforwarded:"),
        "{request}"
    );
}

#[tokio::test]
async fn an_absolute_target_that_names_the_host_is_sent_on_as_a_path() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 8080, recorder.serve().await);
    let request = "GET http://8080-app.localhost:7280/a?b HTTP/1.1\r\nHost: 8080-app.localhost:7280\r\nConnection: close\r\n\r\n";
    assert_eq!(world.raw(request).await.status, 200);
    assert!(recorder.requests()[0].starts_with("GET /a?b HTTP/1.1\r\n"));
}
