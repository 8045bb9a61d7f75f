//! `/_crannog/login?code=…`: a one-time link of the CLI becomes a session of this browser for this host. The code is in
//! the address only for this one request: the answer leads to the plain address, and names it to nobody.

use std::sync::Arc;

use http::header::{HeaderValue, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::Edge;
use crate::body::EdgeBody;
use crate::credentials::COOKIE;
use crate::pages;
use crate::ports::NewSession;
use crate::refusal::Refusal;
use crate::routes::Route;

/// Answers a path of our own.
pub async fn answer(edge: &Edge, head: &Parts, route: Arc<Route>, port: u16) -> Result<Response<EdgeBody>, Refusal> {
    if head.uri.path() != "/_crannog/login" {
        return Err(Refusal::NoSuchPage);
    }
    // Only a person's own GET uses a code up: not a HEAD, not a browser that fetches links ahead.
    if head.method != Method::GET || head.headers.contains_key("sec-purpose") {
        return Err(Refusal::Malformed("A link is opened by an ordinary GET."));
    }
    let name = route.name.clone();
    let spent = || Refusal::LinkSpent { name, port };
    let Some(code) = code(head.uri.query()) else { return Err(spent()) };
    let redeemed = edge.authority.redeem(&route.workspace_id, code).await.map_err(|error| {
        tracing::warn!(%error, workspace = route.workspace_id, "a link could not be redeemed");
        Refusal::CannotCheck
    })?;
    match redeemed.as_ref().and_then(cookie) {
        Some(cookie) => Ok(to_plain_address(Some(cookie))),
        // A link opened again by who is in already.
        None if edge.admission.has_session(&route, &head.headers).await => Ok(to_plain_address(None)),
        None => Err(spent()),
    }
}

fn code(query: Option<&str>) -> Option<&str> {
    let mut codes = query?.split('&').filter_map(|pair| pair.strip_prefix("code="));
    let (code, None) = (codes.next()?, codes.next()) else { return None };
    let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (plain && (1..=256).contains(&code.len())).then_some(code)
}

fn cookie(session: &NewSession) -> Option<HeaderValue> {
    let plain = session.token.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'));
    if !plain || session.token.is_empty() {
        return None;
    }
    let age = if session.expires_unix_ms == 0 { String::new() } else { format!("; Max-Age={}", seconds_left(session)) };
    let text = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax{age}", session.token);
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn seconds_left(session: &NewSession) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    session.expires_unix_ms.saturating_sub(now).max(0) / 1000
}

/// Where to is fixed, not echoed: a link cannot lead anywhere else.
fn to_plain_address(cookie: Option<HeaderValue>) -> Response<EdgeBody> {
    let mut response = Response::new(EdgeBody::own(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static("/"));
    if let Some(cookie) = cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    pages::secure(headers);
    response
}
