//! `crannog port-forward`: listens here, and each connection is a stream to the port inside.

use api::v1::{self, port_forward_request::Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};

use super::wait;
use crate::args::{Forward, PortForward};
use crate::client::Api;
use crate::error::CommandError;

pub async fn run(mut api: Api, options: PortForward) -> Result<(), CommandError> {
    let workspace = wait::get(&mut api, &options.target.workspace).await?;
    let mut serving = tokio::task::JoinSet::new();
    for forward in options.ports {
        let listener = listen(options.address, forward).await?;
        let address = listener.local_addr().map_err(CommandError::io("read the local address"))?;
        println!("{address} -> {}:{}", workspace.name, forward.remote);
        serving.spawn(serve(api.clone(), workspace.id.clone(), forward.remote, listener));
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = serving.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error),
            _ => Ok(()),
        },
    }
}

async fn listen(address: std::net::IpAddr, forward: Forward) -> Result<TcpListener, CommandError> {
    TcpListener::bind((address, forward.local)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => CommandError::here(
            domain::class::Class::AlreadyExists,
            format!("port {} on {address} is taken here", forward.local),
            format!(
                "choose another one: {}:{}, or 0:{} for any",
                forward.local.wrapping_add(1).max(1024),
                forward.remote,
                forward.remote
            ),
        ),
        _ => CommandError::io(format!("listen on {address}:{}", forward.local))(error),
    })
}

async fn serve(api: Api, workspace: String, port: u16, listener: TcpListener) -> Result<(), CommandError> {
    loop {
        let (stream, _) = listener.accept().await.map_err(CommandError::io("accept a connection"))?;
        let (api, workspace) = (api.clone(), workspace.clone());
        tokio::spawn(async move {
            if let Err(error) = forward(api, workspace, port, stream).await {
                eprintln!("port {port}: {}", crate::text::printable(&error.to_string()));
            }
        });
    }
}

async fn forward(mut api: Api, workspace: String, port: u16, stream: TcpStream) -> Result<(), CommandError> {
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let start = v1::PortForwardStart { workspace, port: port.into() };
    let _ = sender.send(request(Message::Start(start))).await;
    let mut answers = api.port_forward(tokio_stream::wrappers::ReceiverStream::new(receiver)).await?.into_inner();
    // Dropping the sender when the local side ends is the half close; the answers go on until the other side ends.
    let sending = tokio::spawn(send(reader, sender));
    let copied = async {
        while let Some(piece) = answers.message().await? {
            writer.write_all(&piece.data).await.map_err(CommandError::io("write to the local connection"))?;
        }
        let _ = writer.shutdown().await;
        Ok(())
    }
    .await;
    sending.abort();
    copied
}

async fn send(mut reader: tcp::OwnedReadHalf, sender: tokio::sync::mpsc::Sender<v1::PortForwardRequest>) {
    loop {
        let mut data = bytes::BytesMut::with_capacity(64 * 1024);
        match reader.read_buf(&mut data).await {
            Ok(0) | Err(_) => return,
            Ok(_) if sender.send(request(Message::Data(data.freeze()))).await.is_err() => return,
            Ok(_) => {}
        }
    }
}

fn request(message: Message) -> v1::PortForwardRequest {
    v1::PortForwardRequest { message: Some(message) }
}
