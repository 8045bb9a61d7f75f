//! The one auth step, before any protocol split. Whatever goes on to a workspace, a request, a WebSocket, a stream, takes
//! an [`Admitted`], and only [`Admission::admit`] makes one: a way past it does not compile.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, header};
use tokio_util::sync::CancellationToken;

use crate::config::Scheme;
use crate::credentials::{self, Credential};
use crate::refusal::Refusal;
use crate::routes::Route;
use crate::sessions::Sessions;

/// A request that may go on, to where, and until when.
#[derive(Debug, Clone)]
pub struct Admitted {
    route: Arc<Route>,
    port: u16,
    until: CancellationToken,
}

impl Admitted {
    /// The workspace.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The port inside.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cancelled when the right to be here ends.
    pub fn until(&self) -> &CancellationToken {
        &self.until
    }
}

/// Decides who may go on.
pub struct Admission {
    sessions: Sessions,
    scheme: Scheme,
}

impl Admission {
    /// `scheme` is that of our own origin, as browsers see it.
    pub fn new(sessions: Sessions, scheme: Scheme) -> Self {
        Self { sessions, scheme }
    }

    /// Decides about one request to `port` of `route`, asked for as `host`.
    pub async fn admit(&self, route: Arc<Route>, port: u16, head: &Parts, host: &str) -> Result<Admitted, Refusal> {
        if let Some(public) = route.public(port) {
            let until = public.clone();
            return Ok(Admitted { route, port, until });
        }
        let token = match credentials::find(&head.headers) {
            Credential::Ambiguous => return Err(Refusal::AmbiguousSession),
            Credential::None => return Err(login_needed(&route, port)),
            // A program has put the token there itself; no browser adds this header for another page.
            Credential::Header(token) => token,
            Credential::Cookie(token) if self.is_from_here(head, host) => token,
            Credential::Cookie(_) => return Err(Refusal::CrossSite),
        };
        self.check(route, port, token).await
    }

    /// Whether the request's session, if it has one, is good: for the page that logs in.
    pub async fn has_session(&self, route: &Route, headers: &HeaderMap) -> bool {
        match credentials::find(headers) {
            Credential::Header(token) | Credential::Cookie(token) => {
                self.sessions.is_good(&route.workspace_id, token).await.unwrap_or(false)
            }
            Credential::None | Credential::Ambiguous => false,
        }
    }

    async fn check(&self, route: Arc<Route>, port: u16, token: blake3::Hash) -> Result<Admitted, Refusal> {
        // The token of the route as it was looked up: should it change while we ask, we are cut off at once.
        let until = route.instance().clone();
        match self.sessions.is_good(&route.workspace_id, token).await {
            Ok(true) => Ok(Admitted { route, port, until }),
            Ok(false) => Err(login_needed(&route, port)),
            Err(error) => {
                tracing::warn!(%error, workspace = route.workspace_id, "a session could not be checked");
                Err(Refusal::CannotCheck)
            }
        }
    }

    /// Whether a browser sent this by the will of this very origin, or of the person before it. Browsers send our cookie
    /// along with what other pages start, too.
    fn is_from_here(&self, head: &Parts, host: &str) -> bool {
        let origin = head.headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
        if is_websocket(head) {
            // No wildcard, no `null`, no missing one: exactly our own.
            return origin.is_some_and(|origin| self.is_own(origin, host));
        }
        if origin.is_some_and(|origin| !self.is_own(origin, host)) {
            return false;
        }
        match fetch(&head.headers, "sec-fetch-site") {
            None | Some(b"same-origin" | b"none") => true,
            Some(_) => is_navigation(head),
        }
    }

    fn is_own(&self, origin: &[u8], host: &str) -> bool {
        let rest = origin.strip_prefix(self.scheme.as_str().as_bytes());
        rest.and_then(|rest| rest.strip_prefix(b"://")) == Some(host.as_bytes())
    }
}

fn is_websocket(head: &Parts) -> bool {
    let upgrade = head.headers.get_all(header::UPGRADE).iter();
    upgrade.into_iter().any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("websocket")))
}

/// A person following a link to a page of its own; not a frame, not an image, not a form that posts.
fn is_navigation(head: &Parts) -> bool {
    matches!(head.method, Method::GET | Method::HEAD)
        && fetch(&head.headers, "sec-fetch-mode") == Some(b"navigate")
        && fetch(&head.headers, "sec-fetch-dest") == Some(b"document")
}

fn fetch<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    headers.get(name).map(|value| value.as_bytes())
}

fn login_needed(route: &Route, port: u16) -> Refusal {
    Refusal::LoginNeeded { name: route.name.clone(), port, stopped: !route.runs() && !route.is_starting() }
}
