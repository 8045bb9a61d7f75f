//! A client that sends exactly the bytes it is told to, and reads answers as they come.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing in these stories takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to the edge.
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.expect("connect to the edge"), buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The edge may have hung up already; what it answered is still there to be read.
        let _ = self.socket.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// The next bytes that come; `None` at the end, however it comes.
    pub async fn more(&mut self) -> Option<Vec<u8>> {
        if !self.buffer.is_empty() {
            return Some(std::mem::take(&mut self.buffer));
        }
        let mut piece = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut piece)).await.expect("the edge sends or closes");
        piece.truncate(read.unwrap_or(0));
        (!piece.is_empty()).then_some(piece)
    }

    /// Reads up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        loop {
            if let Some(at) = text.windows(end.len()).position(|window| window == end.as_bytes()) {
                self.buffer = text.split_off(at + end.len());
                return String::from_utf8_lossy(&text).into_owned();
            }
            let more = self.more().await.unwrap_or_else(|| panic!("ended before {end:?}: {}", String::from_utf8_lossy(&text)));
            text.extend(more);
        }
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let ended = async {
            while let Some(more) = self.more().await {
                all.extend(more);
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the edge closes");
        all
    }

    /// Reads an answer whose body ends by its length or with the connection.
    pub async fn answer(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let mut answer = Answer { status, head, body: Vec::new() };
        match answer.header("content-length").map(|length| length.parse::<usize>().expect("digits")) {
            Some(length) => {
                while answer.body.len() < length {
                    let mut more = self.more().await.expect("the whole body");
                    self.buffer = more.split_off(more.len().min(length - answer.body.len()));
                    answer.body.extend(more);
                }
            }
            None => answer.body = self.rest().await,
        }
        answer
    }
}
