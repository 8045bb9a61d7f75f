//! Which TCP sockets listen in our network namespace, asked of the kernel by `NETLINK_SOCK_DIAG` (sock_diag(7)): the
//! kernel walks only listening sockets, so the cost does not grow with the number of connections.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

/// What the kernel may send in one datagram of a dump (it uses at most 32 KiB).
const DATAGRAM: usize = 64 << 10;

/// A socket that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Port, 1..=65535.
    pub port: u16,
    /// Address it is bound to; unspecified means all.
    pub address: IpAddr,
    /// Inode of the socket, the number in `socket:[N]` of `/proc/PID/fd`.
    pub inode: u32,
}

/// Asks the kernel. Belongs to the network namespace of the thread that opened it.
pub struct SockDiag {
    socket: Socket,
    sequence: u32,
}

impl SockDiag {
    /// Opens the netlink socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Every listening TCP socket, IPv4 then IPv6. A kernel without IPv6 has none of those.
    pub fn listening(&mut self) -> io::Result<Vec<Listening>> {
        let mut found = Vec::new();
        self.dump(AF_INET, SocketId::new_v4(), &mut found)?;
        if let Err(error) = self.dump(AF_INET6, SocketId::new_v6(), &mut found) {
            tracing::trace!(%error, "no dump of IPv6 sockets");
        }
        Ok(found)
    }

    fn dump(&mut self, family: u8, socket_id: SocketId, found: &mut Vec<Listening>) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::LISTEN,
            socket_id,
        };
        self.socket.send(&encode(request, self.sequence), 0)?;
        loop {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            self.socket.recv(&mut datagram, 0)?;
            if read_datagram(&datagram, self.sequence, found)? {
                return Ok(());
            }
        }
    }
}

fn encode(request: InetRequest, sequence: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads the messages of one datagram; true when the dump has ended. Answers to an earlier, broken-off dump are passed
/// over by their sequence number.
fn read_datagram(mut bytes: &[u8], sequence: u32, found: &mut Vec<Listening>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes).map_err(io::Error::other)?;
        let length = (message.header.length as usize).next_multiple_of(4).min(bytes.len());
        if length == 0 {
            return Err(io::Error::other("a netlink message of no length"));
        }
        bytes = &bytes[length..];
        if message.header.sequence_number != sequence {
            continue;
        }
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                let id = &response.header.socket_id;
                found.push(Listening { port: id.source_port, address: id.source_address, inode: response.header.inode });
            }
            _ => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_seen_with_its_address_and_is_gone_when_closed() {
        let mut diag = SockDiag::open().expect("netlink");
        let v4 = TcpListener::bind("127.0.0.1:0").expect("bind");
        let v6 = TcpListener::bind("[::1]:0").expect("bind");
        let ports = [v4.local_addr().expect("addr"), v6.local_addr().expect("addr")];
        let seen = diag.listening().expect("dump");
        for address in ports {
            assert!(
                seen.iter().any(|l| l.port == address.port() && l.address == address.ip() && l.inode != 0),
                "{address} in {seen:?}"
            );
        }
        drop((v4, v6));
        let seen = diag.listening().expect("dump");
        assert!(!seen.iter().any(|l| l.port == ports[0].port() && l.address == ports[0].ip()), "{seen:?}");
    }

    #[test]
    fn a_connection_is_no_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("addr")).expect("connect");
        let port = client.local_addr().expect("addr").port();
        assert!(!SockDiag::open().and_then(|mut d| d.listening()).expect("dump").iter().any(|l| l.port == port));
    }

    #[test]
    fn bytes_that_are_no_netlink_are_an_error_not_a_panic() {
        for bytes in [&[0u8; 16][..], &[1, 2, 3], &[255; 64]] {
            assert!(read_datagram(bytes, 1, &mut Vec::new()).is_err(), "{bytes:?}");
        }
    }
}
