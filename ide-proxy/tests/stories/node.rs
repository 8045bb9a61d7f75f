//! A node as the edge sees it: `dial.sock`, and which port of which instance leads to which server of the test.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use api::dial::{DialAnswer, DialError, DialRequest, MAX_PACKET};
use domain::class::Class;
use sys::fd_pass::{SeqPacket, SeqPacketListener};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Ports of instances.
#[derive(Clone, Default)]
pub struct Node {
    ports: Arc<Mutex<HashMap<(String, u16), SocketAddr>>>,
    dialled: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Node {
    /// Lets a port of an instance lead to a server.
    pub fn lead(&self, instance: &str, port: u16, to: SocketAddr) {
        self.ports.lock().expect("ports").insert((instance.to_owned(), port), to);
    }

    /// What was dialled, in order.
    pub fn dialled(&self) -> Vec<(String, u16)> {
        self.dialled.lock().expect("dialled").clone()
    }

    /// Answers at `path`.
    #[expect(deprecated, reason = "`register` is unsafe; the listener owns its descriptor for life")]
    pub fn serve(&self, path: &Path) {
        let listener = AsyncFd::new(SeqPacketListener::bind(path).expect("bind")).expect("register");
        let node = self.clone();
        tokio::spawn(async move {
            while let Ok(edge) = listener.async_io(Interest::READABLE, |listener| listener.accept()).await {
                let (node, edge) = (node.clone(), AsyncFd::new(edge).expect("register"));
                tokio::spawn(async move { node.answer(edge).await });
            }
        });
    }

    async fn answer(&self, edge: AsyncFd<SeqPacket>) {
        let mut buffer = [0; MAX_PACKET];
        let Ok(packet) = edge.async_io(Interest::READABLE, |edge| edge.receive(&mut buffer)).await else { return };
        let question: DialRequest = serde_json::from_slice(&buffer[..packet.length]).expect("a question");
        let key = (question.instance, question.port);
        let to = self.ports.lock().expect("ports").get(&key).copied();
        self.dialled.lock().expect("dialled").push(key);
        match to.and_then(|to| TcpStream::connect(to).ok()) {
            Some(socket) => edge.get_ref().send(&json(&DialAnswer::Ok(true)), &[socket.as_fd()]),
            None => edge.get_ref().send(&json(&DialAnswer::Error(refused())), &[]),
        }
        .expect("answer");
    }
}

fn json(answer: &DialAnswer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("json")
}

fn refused() -> DialError {
    DialError { class: Class::Unavailable, reason: "PortNotServed".into(), message: "nothing listens".into() }
}
