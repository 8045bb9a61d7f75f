//! Servers inside workspaces, as stories need them: one that keeps every byte it got, and some with a manner of their own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Serves each connection by `serve`.
pub async fn server<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    address
}

/// Reads a head; what came behind it is returned too. `None` when the connection ended first.
pub async fn head(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Requests as a server got them, each with its body as it was sent, framing and all.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().expect("requests").clone()
    }

    /// Serves; answers each request with "ok".
    pub async fn serve(&self) -> SocketAddr {
        let recorder = self.clone();
        server(move |socket| recorder.clone().connection(socket)).await
    }

    async fn connection(self, mut socket: TcpStream) {
        let mut left = Vec::new();
        while let Some(request) = request(&mut socket, &mut left).await {
            self.0.lock().expect("requests").push(request);
            if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                return;
            }
        }
    }
}

/// One request by the plainest reading of RFC 9112; anything beyond what that reading takes stays in `left`.
async fn request(socket: &mut TcpStream, left: &mut Vec<u8>) -> Option<String> {
    let ends = |bytes: &[u8]| {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        if text.contains("transfer-encoding: chunked") {
            return bytes[head..].windows(5).position(|window| window == b"0\r\n\r\n").map(|at| head + at + 5);
        }
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("digits"));
        (bytes.len() >= head + length).then_some(head + length)
    };
    loop {
        if let Some(end) = ends(left) {
            let rest = left.split_off(end);
            let request = std::mem::replace(left, rest);
            return Some(String::from_utf8_lossy(&request).into_owned());
        }
        if socket.read_buf(left).await.ok()? == 0 {
            return None;
        }
    }
}

/// Agrees to whatever protocol is asked for, greets, and sends back what it gets.
pub async fn echo_after_upgrade(mut socket: TcpStream) {
    let Some((head, _)) = head(&mut socket).await else { return };
    let asked = head.lines().find_map(|line| line.strip_prefix("upgrade: ")).unwrap_or("nothing").to_owned();
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {asked}\r\n\r\nhello");
    socket.write_all(answer.as_bytes()).await.expect("answer");
    let (mut read, mut write) = socket.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}
