//! Tunnels to a person's own machine. Ours go through the node (`crannog port-forward`), so nothing is registered here;
//! what works is the connection itself.

use std::net::Ipv4Addr;

use api::supervisor::establish_tunnel_request::Output as Ask;
use api::supervisor::port_service_server::PortService;
use api::supervisor::*;
use bytes::BytesMut;
use futures::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tonic::{Request, Response, Status, Streaming};

use super::Gitpod;
use super::absent::absent;
use crate::service::Answers;

const CHUNK: usize = 64 << 10;

#[tonic::async_trait]
impl PortService for Gitpod {
    type EstablishTunnelStream = Answers<EstablishTunnelResponse>;

    async fn tunnel(&self, _: Request<TunnelPortRequest>) -> Result<Response<TunnelPortResponse>, Status> {
        absent("Tunnel")
    }

    /// There are no registered tunnels, and closing an unknown one is fine.
    async fn close_tunnel(&self, _: Request<CloseTunnelRequest>) -> Result<Response<CloseTunnelResponse>, Status> {
        Ok(Response::new(CloseTunnelResponse {}))
    }

    async fn establish_tunnel(
        &self,
        asks: Request<Streaming<EstablishTunnelRequest>>,
    ) -> Result<Response<Self::EstablishTunnelStream>, Status> {
        let mut asks = asks.into_inner();
        let Some(Ok(EstablishTunnelRequest { output: Some(Ask::Desc(target)) })) = asks.next().await else {
            return Err(Status::failed_precondition("the first message must be `desc`"));
        };
        let port = if target.target_port == 0 { target.port } else { target.target_port };
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| Status::invalid_argument("a port is between 1 and 65535"))?;
        let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        let connection = connection.map_err(|error| Status::unavailable(format!("port {port}: {error}")))?;
        let (from, to) = connection.into_split();
        tokio::spawn(send(asks, to));
        Ok(Response::new(receive(from)))
    }

    async fn auto_tunnel(&self, _: Request<AutoTunnelRequest>) -> Result<Response<AutoTunnelResponse>, Status> {
        absent("AutoTunnel")
    }

    /// A port is exposed from the beginning; there is nothing that could have failed.
    async fn retry_auto_expose(&self, _: Request<RetryAutoExposeRequest>) -> Result<Response<RetryAutoExposeResponse>, Status> {
        Ok(Response::new(RetryAutoExposeResponse {}))
    }
}

/// Ends the sending direction when the client does, whatever the reason.
async fn send(mut asks: Streaming<EstablishTunnelRequest>, mut to: OwnedWriteHalf) {
    while let Some(Ok(EstablishTunnelRequest { output: Some(Ask::Data(bytes)) })) = asks.next().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

fn receive(from: OwnedReadHalf) -> Answers<EstablishTunnelResponse> {
    Box::pin(stream::unfold((from, BytesMut::new()), async |(mut from, mut buffer)| {
        buffer.reserve(CHUNK);
        match from.read_buf(&mut buffer).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(EstablishTunnelResponse { data: buffer.split().freeze() }), (from, buffer))),
            Err(_) => None,
        }
    }))
}
