//! Bytes to a port, a supervisor and the node itself; and connected sockets for the edge.

use api::dial::{DialAnswer, DialRequest, MAX_PACKET};
use api::v1::orchestrator_message::Message as Down;
use api::v1::*;
use domain::class::Class;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::*;

/// A server that reads to the end and then answers with all of it.
async fn echo_at_the_end() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                let _ = socket.read_to_end(&mut all).await;
                let _ = socket.write_all(&all).await;
            });
        }
    });
    address
}

struct Setup {
    orchestrator: Orchestrator,
    session: NodeSession,
    node: TestNode,
    spec: InstanceSpec,
}

async fn setup() -> Setup {
    let mut orchestrator = Orchestrator::new().await;
    let node = TestNode::of(&orchestrator.address).await;
    let session = orchestrator.greeted().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    Setup { orchestrator, session, node, spec }
}

impl Setup {
    async fn tunnel(&mut self, id: &str, target: open_tunnel::Target) -> Tunnel {
        self.session.send(0, 0, Down::OpenTunnel(OpenTunnel { id: id.into(), target: Some(target) })).await;
        let tunnel = self.orchestrator.tunnel().await;
        assert_eq!(tunnel.first.id, id);
        tunnel
    }

    fn port(&self, port: u32) -> open_tunnel::Target {
        open_tunnel::Target::Port(TunnelPort { instance_id: self.spec.id.clone(), port })
    }
}

fn data(data: Vec<u8>) -> Result<TunnelFrame, tonic::Status> {
    Ok(TunnelFrame { data: data.into(), ..TunnelFrame::default() })
}

fn end() -> Result<TunnelFrame, tonic::Status> {
    Ok(TunnelFrame { eof: true, ..TunnelFrame::default() })
}

#[tokio::test]
async fn megabytes_go_through_to_a_port_and_come_back_after_a_half_close() {
    let mut setup = setup().await;
    setup.node.machine.serve_port(&setup.spec.id, 3000, echo_at_the_end().await);
    let target = setup.port(3000);
    let mut tunnel = setup.tunnel("t1", target).await;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (down, pieces) = (tunnel.down.clone(), sent.clone());
    tokio::spawn(async move {
        for piece in pieces.chunks(30_000) {
            down.send(data(piece.to_vec())).await.expect("sent");
        }
        down.send(end()).await.expect("half closed");
    });
    let mut received = Vec::new();
    loop {
        let frame = within(tunnel.up.message()).await.expect("up").expect("a frame before the end");
        received.extend_from_slice(&frame.data);
        if frame.eof {
            break;
        }
    }
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[tokio::test]
async fn a_slow_tunnel_does_not_hold_up_another_nor_the_stream() {
    let mut setup = setup().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    setup.node.machine.serve_port(&setup.spec.id, 4000, listener.local_addr().expect("address"));
    setup.node.machine.serve_port(&setup.spec.id, 3000, echo_at_the_end().await);
    let target = setup.port(4000);
    // Its target writes without end, and nobody reads the tunnel.
    let _slow = setup.tunnel("slow", target).await;
    let (mut flood, _) = within(listener.accept()).await.expect("connected");
    tokio::spawn(async move { while flood.write_all(&[0; 65_536]).await.is_ok() {} });

    let target = setup.port(3000);
    let mut quick = setup.tunnel("quick", target).await;
    quick.down.send(data(b"hello".to_vec())).await.expect("sent");
    quick.down.send(end()).await.expect("half closed");
    let frame = within(quick.up.message()).await.expect("up").expect("a frame");
    assert_eq!(&frame.data[..], b"hello");
    setup.session.send(1, 0, Down::Stop(stop(&setup.spec))).await;
    setup.session.status(&setup.spec.id, Phase::Stopped).await;
}

#[tokio::test]
async fn a_port_on_which_nothing_listens_is_told_in_the_first_frame() {
    let mut setup = setup().await;
    let target = setup.port(9999);
    let tunnel = setup.tunnel("t1", target).await;
    assert_eq!((tunnel.first.error_class.as_str(), tunnel.first.error_reason.as_str()), ("unavailable", "ConnectionRefused"));
    assert_eq!(tunnel.first.error, "nothing listens on port 9999");
}

/// A gRPC channel through a tunnel, as the orchestrator makes it.
async fn channel(tunnel: Tunnel) -> tonic::transport::Channel {
    let (ours, theirs) = tokio::io::duplex(65_536);
    let (mut read, mut write) = tokio::io::split(theirs);
    let Tunnel { mut up, down, .. } = tunnel;
    tokio::spawn(async move {
        let mut buffer = vec![0; 16_384];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if down.send(data(buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = down.send(end()).await;
    });
    tokio::spawn(async move {
        while let Ok(Some(frame)) = up.message().await {
            if write.write_all(&frame.data).await.is_err() {
                return;
            }
        }
    });
    let mut io = Some(hyper_util::rt::TokioIo::new(ours));
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let io = io.take().ok_or_else(|| std::io::Error::other("a tunnel is used once"));
        async move { io }
    });
    tonic::transport::Endpoint::from_static("http://tunnel").connect_with_connector(connector).await.expect("connected")
}

#[tokio::test]
async fn the_supervisor_answers_through_a_tunnel() {
    let mut setup = setup().await;
    let target = open_tunnel::Target::Supervisor(setup.spec.id.clone());
    let tunnel = setup.tunnel("t1", target).await;
    let mut client = instance_service_client::InstanceServiceClient::new(channel(tunnel).await);
    let answer = within(client.list_terminals(ListTerminalsRequest::default())).await.expect("answer");
    assert!(answer.into_inner().terminals.is_empty());
}

#[tokio::test]
async fn the_node_resolves_a_source_in_a_throw_away_instance_and_leaves_nothing() {
    let mut setup = setup().await;
    let resolved = ResolveResponse { commit: "c0ffee".into(), ..ResolveResponse::default() };
    setup.node.machine.script.lock().resolve = Some(resolved);
    let tunnel = setup.tunnel("t1", open_tunnel::Target::Node(true)).await;
    let mut client = node_local_service_client::NodeLocalServiceClient::new(channel(tunnel).await);
    let request = ResolveRequest { remote: "https://git.example/app".into(), ..ResolveRequest::default() };
    let answer = within(client.resolve(request.clone())).await.expect("answer").into_inner();
    assert_eq!(answer.commit, "c0ffee");
    assert!(answer.timeline.iter().any(|step| step.name == "runtime" && step.ended_unix_us > 0));
    setup.node.until_only_is_left(&setup.spec.id).await;

    setup.node.machine.script.lock().resolve = None;
    let status = within(client.resolve(request)).await.expect_err("refused");
    assert_eq!(daemon_kit::status::class_of(&status), Class::NotFound);
    // The range is the last thing that is given back.
    setup.node.until_only_is_left(&setup.spec.id).await;
}

async fn ask(node: &TestNode, question: &[u8]) -> (DialAnswer, Vec<std::os::fd::OwnedFd>) {
    let (path, question) = (node.dial_socket(), question.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let socket = sys::fd_pass::SeqPacket::connect(&path).expect("connect");
        socket.send(&question, &[]).expect("send");
        let mut ready = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&socket), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut ready, 10_000_u16).expect("poll");
        let mut buffer = vec![0; MAX_PACKET];
        let packet = socket.receive(&mut buffer).expect("an answer");
        (serde_json::from_slice(&buffer[..packet.length]).expect("json"), packet.descriptors)
    });
    asked.await.expect("asked")
}

#[tokio::test]
async fn an_edge_is_handed_a_connected_socket() {
    let setup = setup().await;
    setup.node.machine.serve_port(&setup.spec.id, 3000, echo_at_the_end().await);
    let question = serde_json::to_vec(&DialRequest { instance: setup.spec.id.clone(), port: 3000 }).expect("json");
    let (answer, mut sockets) = ask(&setup.node, &question).await;
    assert_eq!(answer, DialAnswer::Ok(true));
    let socket = std::net::TcpStream::from(sockets.pop().expect("a socket"));
    socket.set_nonblocking(true).expect("nonblocking");
    let mut socket = tokio::net::TcpStream::from_std(socket).expect("tokio");
    socket.write_all(b"through").await.expect("write");
    socket.shutdown().await.expect("half close");
    let mut text = String::new();
    within(socket.read_to_string(&mut text)).await.expect("read");
    assert_eq!(text, "through");
}

#[tokio::test]
async fn an_edge_is_told_why_it_gets_no_socket() {
    let setup = setup().await;
    let reason = async |question: &str| match ask(&setup.node, question.as_bytes()).await.0 {
        DialAnswer::Error(error) => (error.class, error.reason),
        DialAnswer::Ok(_) => panic!("a socket for {question}"),
    };
    let here = &setup.spec.id;
    assert_eq!(reason(&format!(r#"{{"instance":"{here}","port":1}}"#)).await, (Class::Unavailable, "ConnectionRefused".into()));
    assert_eq!(reason(r#"{"instance":"nobody","port":1}"#).await, (Class::NotFound, "NoSuchInstance".into()));
    assert_eq!(reason("what?").await, (Class::InvalidArgument, "QuestionMalformed".into()));
    setup.node.stop(&setup.spec).await;
    setup.node.until_phase(&setup.spec.id, Phase::Stopped).await;
    assert_eq!(reason(&format!(r#"{{"instance":"{here}","port":1}}"#)).await, (Class::FailedPrecondition, "NotRunning".into()));
}

#[tokio::test]
async fn only_its_owner_may_connect_to_the_dial_socket() {
    use std::os::unix::fs::PermissionsExt as _;
    let setup = setup().await;
    let mode = std::fs::metadata(setup.node.dial_socket()).expect("socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
