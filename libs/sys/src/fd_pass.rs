//! Handing descriptors over a Unix socket (`SCM_RIGHTS`). One packet of a `SOCK_SEQPACKET` socket is one message with its
//! descriptors: nothing has to be framed, and a message is never split or merged. Sockets are non-blocking and close on
//! exec; in tokio, wrap them in `AsyncFd` and call from `async_io`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// How many descriptors one packet may carry; more are refused on both sides.
pub const MAX_DESCRIPTORS: usize = 8;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// One end of a connection that carries packets with descriptors.
#[derive(Debug)]
pub struct SeqPacket(OwnedFd);

/// A packet that arrived.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes of the buffer it filled; 0 with no descriptors: the other side has closed.
    pub length: usize,
    /// Descriptors that came with it, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Who is at the other end, as the kernel saw it at connect (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id.
    pub pid: i32,
}

impl SeqPacket {
    /// Connects to a listener at `path`; paths longer than the 107 bytes of `sockaddr_un` work too.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        with_address(path, |address| rustix::net::connect(&socket, address))?;
        Ok(Self(socket))
    }

    /// Two ends connected to each other.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends one packet with descriptors; `WouldBlock` when the other side is slow. The caller keeps its descriptors.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more descriptors than one packet carries"));
        }
        let sent = rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        if sent != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the packet was cut"));
        }
        Ok(())
    }

    /// Receives one packet. One that is larger than `buffer` or carries more than [`MAX_DESCRIPTORS`] is an error, and
    /// what it carried is closed; `WouldBlock` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Packet> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet larger than agreed"));
        }
        Ok(Packet { length: received.bytes, descriptors })
    }

    /// Who connected.
    pub fn peer(&self) -> io::Result<PeerCredentials> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0)?;
        Ok(PeerCredentials { uid: peer.uid.as_raw(), gid: peer.gid.as_raw(), pid: peer.pid.as_raw_nonzero().get() })
    }
}

/// Listens for connections that carry packets.
#[derive(Debug)]
pub struct SeqPacketListener(OwnedFd);

impl SeqPacketListener {
    /// Binds and listens at `path`, which must not exist. The file gets the mode that the umask leaves: bind in a
    /// directory that only its owner may enter.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = socket()?;
        with_address(path, |address| rustix::net::bind(&socket, address))?;
        rustix::net::listen(&socket, 128)?;
        Ok(Self(socket))
    }

    /// Takes the next connection; `WouldBlock` when there is none.
    pub fn accept(&self) -> io::Result<SeqPacket> {
        Ok(SeqPacket(rustix::net::accept_with(&self.0, FLAGS)?))
    }
}

/// Binds a listening *stream* socket at `path`, of any length: what is handed to PID 1 of an instance.
pub fn listen_stream(path: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    with_address(path, |address| rustix::net::bind(&socket, address))?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}

/// Connects a *stream* socket to `path`, of any length.
pub fn connect_stream(path: &Path) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?;
    with_address(path, |address| rustix::net::connect(&socket, address))?;
    Ok(socket)
}

fn socket() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?)
}

/// Gives `call` an address for `path`. Where the path is too long for `sockaddr_un`, it is named through a descriptor of
/// its directory, which stays open during the call.
fn with_address(path: &Path, call: impl Fn(&SocketAddrUnix) -> rustix::io::Result<()>) -> io::Result<()> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok(call(&address)?);
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the path of a socket has no directory or no name");
    let (parent, name) = (path.parent().ok_or_else(invalid)?, path.file_name().ok_or_else(invalid)?);
    let directory = rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok(call(&SocketAddrUnix::new(short)?)?)
}

impl AsFd for SeqPacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SeqPacket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for SeqPacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SeqPacketListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::PathBuf;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fd-pass-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("temporary directory");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_descriptor_arrives_with_its_packet_and_works() {
        let (one, other) = SeqPacket::pair().expect("pair");
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        one.send(b"take this", &[writer.as_fd()]).expect("send");
        drop(writer);
        let mut buffer = [0; 64];
        let packet = other.receive(&mut buffer).expect("receive");
        assert_eq!(&buffer[..packet.length], b"take this");
        let [descriptor] = <[OwnedFd; 1]>::try_from(packet.descriptors).expect("one descriptor");
        std::fs::File::from(descriptor).write_all(b"through it").expect("write");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("the only writer is closed again");
        assert_eq!(text, "through it");
    }

    #[test]
    fn an_empty_socket_would_block_and_a_closed_one_says_so() {
        let (one, other) = SeqPacket::pair().expect("pair");
        let error = one.receive(&mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(other);
        let packet = one.receive(&mut [0; 8]).expect("end");
        assert_eq!((packet.length, packet.descriptors.len()), (0, 0));
    }

    #[test]
    fn a_packet_larger_than_the_buffer_is_an_error_not_a_cut_message() {
        let (one, other) = SeqPacket::pair().expect("pair");
        one.send(b"twelve bytes", &[]).expect("send");
        let error = other.receive(&mut [0; 4]).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_socket_below_a_long_path_can_be_bound_and_reached() {
        let directory = Directory::new("long");
        let deep = directory.0.join("a".repeat(90)).join("b".repeat(90));
        std::fs::create_dir_all(&deep).expect("deep directory");
        let path = deep.join("dial.sock");
        let listener = SeqPacketListener::bind(&path).expect("bind");
        let client = SeqPacket::connect(&path).expect("connect");
        let server = listener.accept().expect("accept");
        assert_eq!(server.peer().expect("peer").pid, std::process::id() as i32);
        client.send(b"hello", &[]).expect("send");
        let mut buffer = [0; 8];
        assert_eq!(server.receive(&mut buffer).expect("receive").length, 5);
    }
}
