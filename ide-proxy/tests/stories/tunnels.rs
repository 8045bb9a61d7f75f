//! WebSockets and whatever else starts with an upgrade.

use crate::servers::{echo_after_upgrade, server};
use crate::world::World;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: 8080-app.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn world() -> World {
    let world = World::new().await;
    world.node.lead("i1", 8080, server(echo_after_upgrade).await);
    world
}

#[tokio::test]
async fn bytes_pass_both_ways_unchanged_and_an_end_is_passed_on() {
    let world = world().await;
    let mut client = world.connect().await;
    client.send(UPGRADE).await;
    let head = client.until("\r\n\r\n").await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 101 ") && head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
        "{head}"
    );
    client.until("hello").await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let (mut echoed, mut sent) = (Vec::new(), 0);
    for piece in bytes.chunks(100_000) {
        client.send(piece).await;
        sent += piece.len();
        while echoed.len() < sent {
            echoed.extend(client.more().await.expect("the echo"));
        }
    }
    assert!(echoed == bytes, "every byte comes back in its place");
    client.finish().await;
    assert!(client.rest().await.is_empty(), "the end of one side ends the other");
}

#[tokio::test]
async fn an_upgrade_that_is_declined_leaves_an_ordinary_connection() {
    let world = World::new().await;
    world.node.lead("i1", 8080, crate::servers::Recorder::default().serve().await);
    let mut client = world.connect().await;
    for _ in 0..3 {
        client.send(UPGRADE).await;
        assert_eq!(client.answer().await.text(), "ok");
        client.send("GET / HTTP/1.1\r\nHost: 8080-app.localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "ok");
    }
}

#[tokio::test]
async fn the_edge_ends_tunnels_when_it_ends_and_lets_requests_finish() {
    let mut world = world().await;
    let (finish, wait) = tokio::sync::watch::channel(false);
    let slow = server(move |mut socket| {
        let mut wait = wait.clone();
        async move {
            use tokio::io::AsyncWriteExt as _;
            crate::servers::head(&mut socket).await.expect("a request");
            wait.wait_for(|finish| *finish).await.expect("the test goes on");
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.expect("answer");
        }
    });
    world.node.lead("i1", 3000, slow.await);
    let mut tunnel = world.connect().await;
    tunnel.send(UPGRADE).await;
    tunnel.until("hello").await;
    let mut request = world.connect().await;
    request.send(format!("GET / HTTP/1.1\r\nHost: 3000-app.localhost\r\n{}\r\n\r\n", crate::world::token_header())).await;
    while !world.node.dialled().contains(&("i1".to_owned(), 3000)) {
        tokio::task::yield_now().await;
    }
    world.stop.take().expect("not stopped yet").send(()).expect("the edge runs");
    while tokio::net::TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    finish.send(true).expect("the server waits");
    assert_eq!(request.answer().await.text(), "done");
    assert!(tunnel.rest().await.is_empty());
    world.edge.await.expect("no panic").expect("a good end");
}
