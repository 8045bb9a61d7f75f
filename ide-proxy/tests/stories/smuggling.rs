//! TM-28: bytes that two readers could take apart differently. A server that keeps every byte is behind the edge; a
//! "smuggled" request must never be one of those it got.

use crate::servers::{Recorder, head, server};
use crate::world::World;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: 8080-app.localhost\r\n\r\n";

/// A request line, headers, and the rest; `~` stands for CR LF, so that the cases can be read.
fn bytes(text: &str) -> Vec<u8> {
    text.replace('~', "\r\n").replace("SMUGGLED", SMUGGLED).into_bytes()
}

/// Refused with 400 and a closed connection; nothing reaches the server.
const REFUSED: [&str; 47] = [
    // Two lengths of one body.
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 6~Transfer-Encoding: chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~Content-Length: 6~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0~Content-Length: 57~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0~Content-Length: 0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~content-length: 0~CONTENT-LENGTH: 57~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0, 57~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0,0~~SMUGGLED",
    // Lengths that are no plain number.
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: +0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: -0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0x0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0 0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: ~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 1e1~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 18446744073709551616~~SMUGGLED",
    // Transfer codings that one reader knows and another does not.
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: xchunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked, identity~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: identity, chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: gzip, chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~Transfer-Encoding: chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~Transfer-Encoding: x~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: \"chunked\"~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked;x=y~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: \x0bchunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: identity~~SMUGGLED",
    "POST / HTTP/1.0~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0~~SMUGGLED",
    // Header names and lines that one reader repairs.
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding : chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length : 0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~ Transfer-Encoding: chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~X: y~ folded~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding:~ chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~X: y\rTransfer-Encoding: chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~X: y\nTransfer-Encoding: chunked~~0~~SMUGGLED",
    "POST / HTTP/1.1\nHost: 8080-app.localhost\nContent-Length: 0\n\nSMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content-Length: 0\n~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Content\0-Length: 0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~no colon here~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~: nameless~~SMUGGLED",
    // Request lines.
    "GET / HTTP/1.1 x~Host: 8080-app.localhost~~SMUGGLED",
    "GET  / HTTP/1.1~Host: 8080-app.localhost~~SMUGGLED",
    "GET / HTTP/1.2~Host: 8080-app.localhost~~SMUGGLED",
    "GET / http/1.1~Host: 8080-app.localhost~~SMUGGLED",
    "GET /~Host: 8080-app.localhost~~SMUGGLED",
    " GET / HTTP/1.1~Host: 8080-app.localhost~~SMUGGLED",
    // Hosts, and other protocols.
    "GET / HTTP/1.1~Host: 8080-app.localhost~Host: 3000-app.localhost~~SMUGGLED",
    "GET / HTTP/1.1~Host: 8080-app.localhost~host: 8080-app.localhost~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Connection: upgrade~Upgrade: websocket~Content-Length: 57~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Connection: upgrade~Upgrade: h2c~Transfer-Encoding: chunked~~0~~SMUGGLED",
];

/// Bodies that break their own framing: the request may begin to arrive, but never looks whole, and nothing follows.
const BROKEN_OFF: [&str; 10] = [
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~+0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0x0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~ 0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0 ~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0;a\nb~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~2~abX0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~2\nab~0~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~10000000000000000~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0~Content-Length: 57~~SMUGGLED",
    "POST / HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~0~Transfer-Encoding: chunked~~SMUGGLED",
];

async fn world() -> (World, Recorder) {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i1", 8080, recorder.serve().await);
    (world, recorder)
}

#[tokio::test]
async fn tm_28_a_request_of_two_readings_is_refused_and_nothing_arrives() {
    let (world, recorder) = world().await;
    for case in REFUSED {
        let mut client = world.connect().await;
        client.send(bytes(case)).await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{case:?} was answered {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{case:?}: one answer, then the end");
    }
    // What was refused was refused for good: the one good request is all that ever arrived.
    assert_eq!(world.get("8080-app.localhost", "/good", &[]).await.status, 200);
    assert_eq!(recorder.requests().len(), 1, "{:?}", recorder.requests());
}

#[tokio::test]
async fn tm_28_a_body_that_breaks_its_framing_is_never_whole_and_nothing_follows_it() {
    let (world, recorder) = world().await;
    for case in BROKEN_OFF {
        let mut client = world.connect().await;
        client.send(bytes(case)).await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(!answer.contains("200 OK"), "{case:?} was answered {answer:?}");
    }
    assert_eq!(world.get("8080-app.localhost", "/good", &[]).await.status, 200);
    assert_eq!(recorder.requests().len(), 1, "{:?}", recorder.requests());
}

#[tokio::test]
async fn tm_28_requests_one_behind_the_other_arrive_one_by_one_as_they_were() {
    let (world, recorder) = world().await;
    let all = "POST /1 HTTP/1.1~Host: 8080-app.localhost~Content-Length: 57~~SMUGGLEDPOST /2 HTTP/1.1~Host: 8080-app.localhost~Transfer-Encoding: chunked~~39;ext=1~SMUGGLED~0~~GET /3 HTTP/1.1~Host: 8080-app.localhost~Connection: close~~";
    let all = bytes(&all.replace("57", &SMUGGLED.len().to_string()).replace("39;", &format!("{:x};", SMUGGLED.len())));
    let mut client = world.connect().await;
    client.send(all).await;
    let answers = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    let requests = recorder.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.lines().next().expect("a line")).collect();
    assert_eq!(lines, ["POST /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
    assert!(requests[..2].iter().all(|request| request.contains(SMUGGLED)), "as bodies, byte for byte");
}

#[tokio::test]
async fn tm_28_an_answer_to_another_protocol_than_asked_is_no_tunnel() {
    let world = World::new().await;
    let answers = [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
    ];
    for (answer, expected) in answers.into_iter().zip(["200", "502"]) {
        let address = server(move |mut socket| async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            head(&mut socket).await.expect("a request");
            socket.write_all(answer.as_bytes()).await.expect("answer");
            let mut more = Vec::new();
            let _ = socket.read_to_end(&mut more).await;
            assert!(!String::from_utf8_lossy(&more).contains("smuggled"), "bytes behind a refused upgrade arrived");
        });
        world.node.lead("i1", 8080, address.await);
        let mut client = world.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: 8080-app.localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        let status = client.until("\r\n\r\n").await;
        assert_eq!(status.split(' ').nth(1), Some(expected), "{status}");
        client.send("GET /smuggled HTTP/1.1\r\nHost: 3000-app.localhost\r\nConnection: close\r\n\r\n").await;
        let next = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(next.contains("HTTP/1.1 401 "), "what follows is one more request, judged by itself: {next}");
    }
}

#[tokio::test]
async fn tm_28_bytes_sent_before_the_other_protocol_is_agreed_reach_nobody() {
    let world = World::new().await;
    let request = bytes("GET / HTTP/1.1~Host: 8080-app.localhost~Connection: upgrade~Upgrade: websocket~~SMUGGLED");
    let recorder = Recorder::default();
    world.node.lead("i1", 8080, recorder.serve().await);
    let mut client = world.connect().await;
    client.send(&request).await;
    let declined = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(declined.starts_with("HTTP/1.1 200 ") && declined.contains("HTTP/1.1 400 "), "{declined}");
    assert_eq!(recorder.requests().len(), 1, "the upgrade that was declined, and nothing behind it");
    world.add("two", "two", "i2");
    world.settled().await;
    let (got, keep) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), std::sync::Arc::new(tokio::sync::Notify::new()));
    let (server_got, ended) = (got.clone(), keep.clone());
    let agrees = server(move |mut socket| {
        let (got, ended) = (server_got.clone(), ended.clone());
        async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            head(&mut socket).await.expect("a request");
            socket
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
                .await
                .expect("answer");
            let mut more = Vec::new();
            let _ = socket.read_to_end(&mut more).await;
            got.lock().expect("bytes").extend(more);
            ended.notify_one();
        }
    });
    world.node.lead("i2", 8080, agrees.await);
    let mut client = world.connect().await;
    client.send(String::from_utf8_lossy(&request).replace("-app", "-two")).await;
    client.rest().await;
    keep.notified().await;
    assert!(got.lock().expect("bytes").is_empty(), "a tunnel that began with early bytes is none");
}

#[tokio::test]
async fn tm_28_an_answer_without_an_end_is_visibly_cut_off() {
    let world = World::new().await;
    let short = server(|mut socket| async move {
        use tokio::io::AsyncWriteExt as _;
        head(&mut socket).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await.expect("answer");
    });
    world.node.lead("i1", 8080, short.await);
    let mut client = world.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: 8080-app.localhost\r\n\r\n").await;
    let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(answer.contains("hello") && !answer.contains("0\r\n\r\n"), "{answer}");
}
