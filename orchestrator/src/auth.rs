//! Who may call what: one layer before all services. Denied unless the path belongs to a service whose role the token
//! has; a service that is added and not listed here can be called by nobody.

use std::task::{Context, Poll};

use daemon_kit::bearer;
use domain::class::{Class, Classify};
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::tokens::TokenHashes;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person or program that owns workspaces.
    Owner,
    /// A node.
    Node,
    /// An edge.
    Edge,
}

/// Which role each service asks for.
const SERVICES: [(&str, Role); 3] = [
    ("crannog.v1.WorkspaceService", Role::Owner),
    ("crannog.v1.NodeService", Role::Node),
    ("crannog.v1.EdgeService", Role::Edge),
];

/// Why a call was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token, or one that is not ours.
    #[error("the call has no token that is accepted")]
    Unknown,
    /// A good token of another role.
    #[error("the token is not for this service")]
    WrongRole,
}

impl Classify for Denied {
    fn class(&self) -> Class {
        match self {
            Self::Unknown => Class::Unauthenticated,
            Self::WrongRole => Class::PermissionDenied,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("use the token that the server wrote into client.json of its data directory".into())
    }
}

impl TokenHashes {
    /// The role of a token. All are compared, so that the time tells nothing.
    fn role(&self, token: &str) -> Option<Role> {
        let roles = [(self.owner, Role::Owner), (self.node, Role::Node), (self.edge, Role::Edge)];
        let matching: Vec<_> = roles.into_iter().filter(|(hash, _)| hash.matches(token)).collect();
        matching.first().map(|(_, role)| *role)
    }

    /// Decides about a call.
    pub fn check(&self, path: &str, headers: &http::HeaderMap) -> Result<Role, Denied> {
        let token = bearer::token_of(headers).ok_or(Denied::Unknown)?;
        let role = self.role(token.expose()).ok_or(Denied::Unknown)?;
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
        let needed = SERVICES.into_iter().find(|(name, _)| Some(*name) == service).map(|(_, role)| role);
        if needed == Some(role) { Ok(role) } else { Err(Denied::WrongRole) }
    }
}

/// The layer.
#[derive(Debug, Clone)]
pub struct AuthLayer(pub TokenHashes);

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { inner, hashes: self.0 }
    }
}

/// A service behind the layer.
#[derive(Debug, Clone)]
pub struct Auth<S> {
    inner: S,
    hashes: TokenHashes,
}

impl<S, B> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = futures::future::Either<S::Future, futures::future::Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.hashes.check(request.uri().path(), request.headers()) {
            Ok(_) => {
                // Nobody behind this layer needs it.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                futures::future::Either::Left(self.inner.call(request))
            }
            Err(denied) => {
                tracing::debug!(path = request.uri().path(), %denied, "a call was turned away");
                let answer = daemon_kit::status::to_status(&denied).into_http();
                futures::future::Either::Right(futures::future::ready(Ok(answer)))
            }
        }
    }
}
