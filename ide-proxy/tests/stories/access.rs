//! Who may come in: sessions, links, other sites, and what happens to those who are in when that changes.

use api::v1::{PortStatus, Visibility};

use crate::servers::{Recorder, echo_after_upgrade, server};
use crate::world::{TOKEN, WORKSPACE, World, cookie, token_header};

const PRIVATE: &str = "3000-app.localhost:7280";
const PUBLIC: &str = "8080-app.localhost:7280";

async fn world() -> (World, Recorder) {
    let (world, recorder) = (World::new().await, Recorder::default());
    let server = recorder.serve().await;
    world.node.lead("i1", 3000, server);
    world.node.lead("i1", 8080, server);
    (world, recorder)
}

#[tokio::test]
async fn a_private_port_asks_for_its_owners_session_and_says_how_to_get_it() {
    let (world, recorder) = world().await;
    let page = world.get(PRIVATE, "/", &["Accept: text/html"]).await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("crannog url app 3000"), "{}", page.text());
    let json = world.get(PRIVATE, "/", &["Accept: application/json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.body).expect("json");
    assert_eq!(json["error"]["class"], "unauthenticated");
    assert_eq!(world.get(PRIVATE, "/", &["x-crannog-token: guessed"]).await.status, 401);
    assert_eq!(world.get(PRIVATE, "/", &[&token_header()]).await.text(), "ok");
    assert_eq!(world.get(PRIVATE, "/", &[&cookie()]).await.text(), "ok");
    assert_eq!(recorder.requests().len(), 2, "only those with a session arrived");
}

#[tokio::test]
async fn a_public_port_is_open_to_everyone() {
    let (world, _) = world().await;
    assert_eq!(world.get(PUBLIC, "/", &["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"]).await.text(), "ok");
}

#[tokio::test]
async fn a_session_of_one_workspace_opens_no_other() {
    let (world, recorder) = world().await;
    world.add("other", "other", "i2");
    world.settled().await;
    assert_eq!(world.get("3000-other.localhost", "/", &[&token_header()]).await.status, 401);
    assert!(recorder.requests().is_empty());
}

#[tokio::test]
async fn tm_26_a_link_logs_in_once_and_leads_to_the_plain_address() {
    let (world, _) = world().await;
    world.orchestrator.code("one-time-code", WORKSPACE, "fresh-token");
    let path = "/_crannog/login?code=one-time-code";
    let mut head = world.connect().await;
    head.send(format!("HEAD {path} HTTP/1.1\r\nHost: {PRIVATE}\r\nConnection: close\r\n\r\n")).await;
    assert!(head.until("\r\n").await.contains(" 400 "), "a HEAD uses nothing up");
    assert_eq!(
        world.get(PRIVATE, path, &["Sec-Purpose: prefetch"]).await.status,
        400,
        "a browser that fetches ahead uses nothing up"
    );
    let answer = world.get(PRIVATE, path, &[]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    assert_eq!((answer.header("referrer-policy"), answer.header("cache-control")), (Some("no-referrer"), Some("no-store")));
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    for part in ["__Host-crannog-session=fresh-token; ", "Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
    let again = world.get(PRIVATE, path, &["Accept: text/html"]).await;
    assert_eq!(again.status, 403);
    assert!(!again.text().contains("one-time-code"), "the page does not repeat the code");
    let known = world.get(PRIVATE, path, &["Cookie: __Host-crannog-session=fresh-token"]).await;
    assert_eq!((known.status, known.header("set-cookie")), (303, None), "opened again by who is in");
}

#[tokio::test]
async fn tm_20_another_site_cannot_use_the_session_except_to_lead_here() {
    let (world, recorder) = world().await;
    let cookie = cookie();
    let with = async |headers: &[&str]| world.get(PRIVATE, "/", &[&[cookie.as_str()], headers].concat()).await.status;
    assert_eq!(with(&["Sec-Fetch-Site: same-origin"]).await, 200);
    assert_eq!(with(&["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]).await, 200);
    assert_eq!(with(&["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]).await, 200);
    let before = recorder.requests().len();
    for site in ["cross-site", "same-site", "anything"] {
        for (mode, destination) in [
            ("no-cors", "image"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("websocket", "websocket"),
            ("same-origin", "empty"),
        ] {
            let headers =
                [format!("Sec-Fetch-Site: {site}"), format!("Sec-Fetch-Mode: {mode}"), format!("Sec-Fetch-Dest: {destination}")];
            assert_eq!(with(&headers.each_ref().map(String::as_str)).await, 403, "{headers:?}");
        }
    }
    assert_eq!(with(&["Origin: null"]).await, 403, "an older browser without Sec-Fetch");
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {PRIVATE}\r\n{cookie}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(world.raw(post).await.status, 403, "a form that posts is no link");
    assert_eq!(recorder.requests().len(), before, "nothing that was refused arrived");
}

#[tokio::test]
async fn tm_21_a_websocket_by_cookie_needs_exactly_our_own_origin() {
    let world = World::new().await;
    world.node.lead("i1", 3000, server(echo_after_upgrade).await);
    let ask = async |extra: &str| {
        let mut client = world.connect().await;
        client
            .send(format!("GET /ws HTTP/1.1\r\nHost: {PRIVATE}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{extra}\r\n\r\n"))
            .await;
        client.until("\r\n").await.split(' ').nth(1).map(str::to_owned).expect("a status")
    };
    let cookie = cookie();
    assert_eq!(ask(&format!("{cookie}\r\nOrigin: http://{PRIVATE}")).await, "101");
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://3000-app.localhost",
        "http://3000-app.localhost:7281",
        "https://3000-app.localhost:7280",
        "http://8080-app.localhost:7280",
        "http://3000-other.localhost:7280",
        "http://3000-app.localhost:7280.evil.example",
        "http://evil.3000-app.localhost:7280",
        "http://3000-APP.localhost:7280",
        "http://3000-app.localhost:7280/",
        "http://xn--3000-app.localhost:7280",
        "http://evil@3000-app.localhost:7280",
        "ws://3000-app.localhost:7280",
        "http://3000-app.localhost:7280 http://evil.example",
    ] {
        assert_eq!(ask(&format!("{cookie}\r\nOrigin: {origin}")).await, "403", "{origin}");
    }
    assert_eq!(ask(&cookie).await, "403", "a missing Origin is no origin of ours");
    assert_eq!(ask(&token_header()).await, "101", "a program has no Origin and needs none");
    assert_eq!(ask(&format!("Origin: http://{PRIVATE}")).await, "401", "an Origin is no session");
}

#[tokio::test]
async fn tm_22_two_sessions_in_one_request_are_none() {
    let (world, recorder) = world().await;
    for planted in [
        format!("Cookie: __Host-crannog-session=planted; __Host-crannog-session={TOKEN}"),
        format!("Cookie: __Host-crannog-session={TOKEN}; a=b; __host-crannog-SESSION=planted"),
        format!("Cookie: __Host-crannog-session={TOKEN}\r\nCookie: __Host-crannog-session={TOKEN}"),
    ] {
        assert_eq!(world.get(PRIVATE, "/", &[&planted]).await.status, 400, "{planted}");
    }
    assert!(recorder.requests().is_empty());
}

#[tokio::test]
async fn tm_25_a_port_that_becomes_private_cuts_off_everyone_who_came_in_by_it() {
    let world = World::new().await;
    let endless = server(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        crate::servers::head(&mut socket).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.expect("head");
        while socket.write_all(b"data: tick\n\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    world.node.lead("i1", 8080, endless.await);
    world.node.lead("i1", 3000, server(echo_after_upgrade).await);
    let mut stream = world.connect().await;
    stream.send(format!("GET / HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n")).await;
    stream.until("data: tick").await;
    let mut owners = world.connect().await;
    owners
        .send(format!(
            "GET / HTTP/1.1\r\nHost: {PRIVATE}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{}\r\n\r\n",
            token_header()
        ))
        .await;
    owners.until("hello").await;
    let private = |port: &mut PortStatus| port.visibility = Visibility::Private.into();
    world.orchestrator.change(WORKSPACE, |route| route.ports.iter_mut().for_each(private));
    let rest = stream.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the stream is cut, not ended as if it were whole");
    owners.send("still here").await;
    owners.until("still here").await;
    assert_eq!(world.get(PUBLIC, "/", &[]).await.status, 401);
}

#[tokio::test]
async fn tm_25_an_instance_that_ends_cuts_off_its_tunnels_and_a_new_one_gets_no_old_connection() {
    let world = World::new().await;
    world.node.lead("i1", 3000, server(echo_after_upgrade).await);
    let (first, second) = (Recorder::default(), Recorder::default());
    world.node.lead("i1", 8080, first.serve().await);
    world.node.lead("i2", 8080, second.serve().await);
    let mut tunnel = world.connect().await;
    tunnel
        .send(format!(
            "GET / HTTP/1.1\r\nHost: {PRIVATE}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n{}\r\n\r\n",
            token_header()
        ))
        .await;
    tunnel.until("hello").await;
    assert_eq!(world.get(PUBLIC, "/first", &[]).await.text(), "ok");
    world.orchestrator.change(WORKSPACE, |route| route.instance_id = "i2".to_owned());
    assert!(tunnel.rest().await.is_empty());
    assert_eq!(world.get(PUBLIC, "/second", &[]).await.text(), "ok");
    assert!(first.requests().iter().all(|request| request.starts_with("GET /first")));
    assert!(second.requests().iter().all(|request| request.starts_with("GET /second")));
}
