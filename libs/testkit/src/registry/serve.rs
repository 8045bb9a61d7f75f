//! The registry's side of HTTP.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use futures::stream::{self, StreamExt};

use super::fault::{Fault, meet};
use super::{Access, Seen, State, lock};
use crate::images::digest;

type Answer = Response<Body>;

pub async fn run(listener: std::net::TcpListener, state: Arc<Mutex<State>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let handler = tower::service_fn(move |request: Request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(&state, &request)) }
    });
    // Ends with the runtime.
    drop(axum::serve(listener, tower::make::Shared::new(handler)).await);
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    let mut state = lock(state);
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (range, authorization) = (header(header::RANGE), header(header::AUTHORIZATION));
    let method = request.method().to_string();
    state.seen.push(Seen { method, path: path.clone(), range: range.clone(), authorization: authorization.clone() });
    let fault = meet(&mut state.rules, &path);
    if let Some(answer) = fault.as_ref().and_then(|fault| outright(fault, &path)) {
        return answer;
    }
    if path.starts_with("/token") {
        return token(&state, authorization.as_deref());
    }
    if let Some(refusal) = refuse(&state, authorization.as_deref()) {
        return refusal;
    }
    match content(&state, request.uri().path()) {
        Some((kind, bytes)) => send(&kind, bytes, range.as_deref(), fault),
        None => status(404),
    }
}

/// Faults that leave nothing to look up.
fn outright(fault: &Fault, path: &str) -> Option<Answer> {
    let with = |code: u16, name: &str, value: &str| {
        Response::builder().status(code).header(name, value).body(Body::empty()).unwrap_or_else(|_| status(500))
    };
    match fault {
        Fault::Status(code) => Some(status(*code)),
        Fault::StatusWith(code, name, value) => Some(with(*code, name, value)),
        Fault::RedirectTo(base) => Some(with(307, "location", &format!("{base}{path}"))),
        Fault::RedirectExactly(url) => Some(with(307, "location", url)),
        Fault::Instead(kind, bytes) => Some(send(kind, bytes.clone(), None, None)),
        _ => None,
    }
}

fn token(state: &State, authorization: Option<&str>) -> Answer {
    match &state.access {
        Access::Token(user, password) if authorization != Some(&basic(user, password)) => status(401),
        _ => send("application/json", Bytes::from(format!(r#"{{"token":"{}"}}"#, current(state))), None, None),
    }
}

fn current(state: &State) -> String {
    format!("token-{}", state.tokens)
}

fn refuse(state: &State, authorization: Option<&str>) -> Option<Answer> {
    let (wanted, challenge) = match &state.access {
        Access::Open => return None,
        Access::Basic(user, password) => (basic(user, password), r#"Basic realm="test""#.to_owned()),
        Access::AnonymousToken | Access::Token(..) => {
            let realm = format!("http://{}/token", state.address);
            (format!("Bearer {}", current(state)), format!(r#"Bearer realm="{realm}",service="test""#))
        }
    };
    let refusal = || Response::builder().status(401).header(header::WWW_AUTHENTICATE, challenge).body(Body::empty());
    (authorization != Some(&wanted)).then(|| refusal().unwrap_or_else(|_| status(500)))
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn content(state: &State, path: &str) -> Option<(String, Bytes)> {
    let rest = path.strip_prefix("/v2/")?;
    if let Some((_, digest)) = rest.split_once("/blobs/") {
        return Some(("application/octet-stream".to_owned(), state.blobs.get(digest)?.clone()));
    }
    let (repository, selector) = rest.split_once("/manifests/")?;
    state.manifests.get(&format!("{repository} {selector}")).cloned()
}

fn send(kind: &str, whole: Bytes, range: Option<&str>, fault: Option<Fault>) -> Answer {
    let first = range.filter(|_| fault != Some(Fault::IgnoreRange)).and_then(first_byte);
    let mut headers = HeaderMap::new();
    let mut code = StatusCode::OK;
    let mut bytes = whole.clone();
    if let Some(first) = first {
        if first >= whole.len() {
            return status(416);
        }
        code = StatusCode::PARTIAL_CONTENT;
        bytes = whole.slice(first..);
        let said = if fault == Some(Fault::WrongRange) { first.saturating_sub(1) } else { first };
        let range = format!("bytes {said}-{}/{}", whole.len() - 1, whole.len());
        headers.insert(header::CONTENT_RANGE, range.parse().expect("a range is a header value"));
    }
    let (length, body) = spoil(bytes, fault);
    let builder = Response::builder().status(code).header(header::CONTENT_TYPE, kind).header(header::CONTENT_LENGTH, length);
    let mut answer = builder.header("docker-content-digest", digest(&whole)).body(body).unwrap_or_else(|_| status(500));
    answer.headers_mut().extend(headers);
    answer
}

fn spoil(bytes: Bytes, fault: Option<Fault>) -> (usize, Body) {
    let length = bytes.len();
    match fault {
        Some(Fault::FlipBit) if length > 0 => {
            let mut wrong = bytes.to_vec();
            wrong[length / 2] ^= 1;
            (length, Body::from(wrong))
        }
        Some(Fault::EndAfter(count)) => (count.min(length), Body::from(bytes.slice(..count.min(length)))),
        Some(Fault::Longer(count)) => (length + count, Body::from([&bytes[..], &vec![0; count]].concat())),
        Some(Fault::CutAfter(count)) => {
            let first = stream::iter([Ok(bytes.slice(..count.min(length)))]);
            (length, Body::from_stream(first.chain(stream::once(cut()))))
        }
        Some(Fault::StallAfter(count)) => {
            let first = stream::iter([Ok::<_, Infallible>(bytes.slice(..count.min(length)))]);
            (length, Body::from_stream(first.chain(stream::pending())))
        }
        _ => (length, Body::from(bytes)),
    }
}

/// Breaks the connection, when what came before is on its way: hyper sends what it has while a body is not ready.
async fn cut() -> std::io::Result<Bytes> {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    Err(std::io::Error::other("cut off"))
}

fn first_byte(range: &str) -> Option<usize> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn status(code: u16) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
