//! Bodies of any size and speed, both ways, in bounded memory.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::servers::{head, server};
use crate::world::{WORKSPACE, World};

const HOST: &str = "8080-app.localhost";
const GIBIBYTE: usize = 1 << 30;
const MEBIBYTE: usize = 1 << 20;

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_made() {
    let world = World::new().await;
    let (next, wait) = tokio::sync::mpsc::channel::<()>(1);
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let events = server(move |mut socket| {
        let wait = wait.clone();
        async move {
            head(&mut socket).await.expect("a request");
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.expect("head");
            for number in 0..5 {
                socket.write_all(format!("data: {number}\n\n").as_bytes()).await.expect("event");
                wait.lock().await.recv().await.expect("the test goes on");
            }
        }
    });
    world.node.lead("i1", 8080, events.await);
    let mut client = world.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    for number in 0..5 {
        client.until(&format!("data: {number}\n\n")).await;
        next.send(()).await.expect("the server waits");
    }
    // A stream that ends well ends as a whole.
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_and_trailers_pass() {
    let world = World::new().await;
    let trailers = server(|mut socket| async move {
        let (asked, mut body) = head(&mut socket).await.expect("a request");
        assert!(asked.contains("te: trailers\r\n"), "{asked}");
        while !body.ends_with(b"\r\n\r\n") {
            assert_ne!(socket.read_buf(&mut body).await.expect("body"), 0, "the whole body comes");
        }
        let sent = String::from_utf8_lossy(&body).contains("x-sum: 7\r\n");
        let answer = format!(
            "HTTP/1.1 200 OK\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{sent:5.5}\r\n0\r\nx-end: 9\r\n\r\n"
        );
        socket.write_all(answer.as_bytes()).await.expect("answer");
    });
    world.node.lead("i1", 8080, trailers.await);
    let mut client = world.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: x-sum\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    client.send("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n").await;
    let answer = client.until("x-end: 9\r\n\r\n").await;
    assert!(answer.contains("true"), "{answer}");
}

/// Most memory this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_goes_up_and_comes_down_in_bounded_memory() {
    let world = World::new().await;
    let mirror = server(|mut socket| async move {
        let (_, early) = head(&mut socket).await.expect("a request");
        let (mut buffer, mut got) = (vec![0; 256 * 1024], early.len());
        while got < GIBIBYTE {
            got += socket.read(&mut buffer).await.expect("upload");
        }
        socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {GIBIBYTE}\r\n\r\n").as_bytes()).await.expect("head");
        for _ in 0..GIBIBYTE / buffer.len() {
            socket.write_all(&buffer).await.expect("download");
        }
    });
    world.node.lead("i1", 8080, mirror.await);
    let before = peak();
    let mut client = world.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {GIBIBYTE}\r\n\r\n")).await;
    let piece = vec![7; MEBIBYTE];
    for _ in 0..GIBIBYTE / MEBIBYTE {
        client.send(&piece).await;
    }
    client.until("\r\n\r\n").await;
    let mut got = 0;
    while got < GIBIBYTE {
        got += client.more().await.expect("the whole download").len();
    }
    let grown = peak() - before;
    // Other stories run in the same process meanwhile; a gathered body would be sixteen times this.
    assert!(grown < 64 * MEBIBYTE, "grew by {} MiB", grown / MEBIBYTE);
}

#[tokio::test]
async fn a_workspace_in_use_is_reported_by_its_id() {
    let world = World::new().await;
    world.node.lead("i1", 8080, crate::servers::Recorder::default().serve().await);
    assert!(world.orchestrator.active().is_empty());
    assert_eq!(world.get(HOST, "/", &[]).await.status, 200);
    let reported = async {
        while world.orchestrator.active().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), reported).await.expect("a report within seconds");
    assert_eq!(world.orchestrator.active(), [WORKSPACE]);
}
