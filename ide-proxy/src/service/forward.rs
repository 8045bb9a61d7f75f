//! On to the workspace: one request and its answer, streamed both ways; or, after a 101, a tunnel.

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use super::{Connection, Edge};
use crate::admission::Admitted;
use crate::body::{EdgeBody, Passing, mark};
use crate::credentials;
use crate::headers::{self, Forwarded};
use crate::host;
use crate::refusal::Refusal;
use crate::tunnel;

/// Sends an admitted request on and its answer back.
pub async fn forward(
    edge: &Edge,
    admitted: Admitted,
    request: Request<Incoming>,
    connection: &Connection,
) -> Result<Response<EdgeBody>, Refusal> {
    mark(admitted.route().used());
    let (mut request, upgrade) = prepare(edge, &admitted, request, connection);
    // Taken out in any case: what goes on must not carry a way to take over the client's connection.
    let client = request.extensions_mut().remove::<OnUpgrade>();
    let mut response = edge.upstream.send(&admitted, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let agreed = agreed(&response, upgrade.as_ref());
        let (Some(protocol), Some(client)) = (agreed, client) else { return Err(Refusal::BadAnswer(admitted.port())) };
        let workspace = hyper::upgrade::on(&mut response);
        let run = tunnel::run(admitted, client, workspace, edge.ending.clone(), edge.metrics.clone());
        edge.tunnels.spawn(run);
        return Ok(switching(response, protocol));
    }
    headers::for_client(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    let (until, used) = (admitted.until().clone(), admitted.route().used().clone());
    Ok(response.map(|body| EdgeBody::Passing(Passing::new(body, until, used, credentials::strip_response))))
}

fn prepare(
    edge: &Edge,
    admitted: &Admitted,
    request: Request<Incoming>,
    connection: &Connection,
) -> (Request<Passing>, Option<HeaderValue>) {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = HeaderValue::from_str(host::edge_port(host, edge.scheme.as_str())).unwrap_or(HeaderValue::from_static("80"));
    let forwarded = Forwarded { client: &connection.client, scheme: edge.scheme.as_str(), port };
    let upgrade = headers::for_workspace(&mut head.headers, forwarded);
    // hyper would take a GET of unknown length for one without a body.
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    head.version = Version::HTTP_11;
    let (until, used) = (admitted.until().clone(), admitted.route().used().clone());
    let body = Passing::new(body, until, used, credentials::strip_request);
    (Request::from_parts(head, body), upgrade)
}

/// The protocol, if the workspace agreed to the very one that was asked for.
fn agreed(response: &Response<Incoming>, wanted: Option<&HeaderValue>) -> Option<HeaderValue> {
    let got = response.headers().get(header::UPGRADE)?;
    wanted?.as_bytes().eq_ignore_ascii_case(got.as_bytes()).then(|| got.clone())
}

fn switching(response: Response<Incoming>, protocol: HeaderValue) -> Response<EdgeBody> {
    let mut response = response.map(|_| EdgeBody::own(bytes::Bytes::new()));
    headers::for_client(response.headers_mut());
    headers::change_protocol(response.headers_mut(), protocol);
    response
}
