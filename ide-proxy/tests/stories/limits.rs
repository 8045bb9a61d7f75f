//! What one client may take, and what happens when things around the edge fail.

use std::time::Duration;

use crate::servers::{Recorder, head, server};
use crate::world::{World, token_header};

const HOST: &str = "8080-app.localhost";

#[tokio::test]
async fn f_062_a_head_that_comes_too_slowly_is_cut_off_and_others_are_served() {
    let world = World::with(&[("limits.head_timeout", "200ms")]).await;
    world.node.lead("i1", 8080, Recorder::default().serve().await);
    let mut slow = world.connect().await;
    slow.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ")).await;
    assert_eq!(world.get(HOST, "/", &[]).await.status, 200);
    let begun = std::time::Instant::now();
    slow.rest().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "cut off by the timeout for heads, not by that for idle connections");
}

#[tokio::test]
async fn f_063_a_head_that_is_too_large_is_refused_and_does_not_arrive() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 8080, recorder.serve().await);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let large = format!("X: {}\r\n", "y".repeat(100_000));
    for (headers, what) in [(many, "200 headers"), (large, "100 kB")] {
        let mut client = world.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n")).await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
    }
    assert!(recorder.requests().is_empty());
}

#[tokio::test]
async fn f_080_one_connection_too_many_is_told_so_and_a_place_that_is_left_can_be_taken() {
    let world = World::with(&[("limits.connections", "2")]).await;
    world.node.lead("i1", 8080, Recorder::default().serve().await);
    let (mut first, mut second) = (world.connect().await, world.connect().await);
    for client in [&mut first, &mut second] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(world.connect().await.answer().await.status, 503);
    drop(first);
    let served = async { while world.get(HOST, "/", &[]).await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("the place is free again");
}

#[tokio::test]
async fn f_060_a_server_that_hangs_up_or_babbles_or_is_silent_is_named_as_such() {
    let world = World::with(&[("upstream.answer_timeout", "200ms")]).await;
    let manners: [&'static str; 3] =
        ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"];
    for manner in manners {
        let address = server(move |mut socket| async move {
            use tokio::io::AsyncWriteExt as _;
            head(&mut socket).await;
            let _ = socket.write_all(manner.as_bytes()).await;
        });
        world.node.lead("i1", 8080, address.await);
        let answer = world.get(HOST, "/", &["Accept: application/json"]).await;
        assert_eq!((answer.status, answer.text().contains("BadAnswer")), (502, true), "{manner:?}: {}", answer.text());
        assert!(answer.text().contains("request_id"));
    }
    let silent = server(|mut socket| async move {
        head(&mut socket).await;
        std::future::pending::<()>().await;
    });
    world.node.lead("i1", 8080, silent.await);
    assert_eq!(world.get(HOST, "/", &[]).await.status, 504);
}

#[tokio::test]
async fn f_065_the_last_table_is_served_while_the_orchestrator_is_away_and_a_new_one_replaces_it() {
    let world = World::with(&[("sessions.good_for", "0"), ("sessions.bad_for", "0")]).await;
    let address = Recorder::default().serve().await;
    world.node.lead("i1", 3000, address);
    world.node.lead("i1", 8080, address);
    assert_eq!(world.get("3000-app.localhost", "/", &[&token_header()]).await.status, 200);
    world.orchestrator.set_away(true);
    let unknown = world.get("3000-app.localhost", "/", &["x-crannog-token: unknown"]).await;
    assert_eq!(unknown.status, 503, "a session that is not known cannot be checked");
    assert_eq!(world.get(HOST, "/", &[]).await.status, 200, "a public port stays open");
    assert_eq!(world.get("3000-app.localhost", "/", &[&token_header()]).await.status, 200, "a known session stays good");
    world.add("later", "later", "");
    world.orchestrator.set_away(false);
    let back = async { while world.get("3000-later.localhost", "/", &[]).await.status == 404 {} };
    tokio::time::timeout(Duration::from_secs(15), back).await.expect("the stream is taken up again");
}

#[tokio::test]
async fn connections_into_a_workspace_are_kept_and_used_again() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 8080, recorder.serve().await);
    for _ in 0..20 {
        assert_eq!(world.get(HOST, "/", &[]).await.status, 200);
    }
    assert_eq!(recorder.requests().len(), 20);
    assert!(world.node.dialled().len() < 5, "dialled {} times", world.node.dialled().len());
}
