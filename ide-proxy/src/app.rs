//! Puts the parts together: the only module that names concrete ones.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::admission::Admission;
use crate::config::Config;
use crate::dial::LocalDialer;
use crate::error::EdgeError;
use crate::metrics::Metrics;
use crate::orchestrator::Orchestrator;
use crate::routes::Routes;
use crate::service::Edge;
use crate::sessions::Sessions;
use crate::upstream::Upstream;
use crate::{activity, listener};

/// An edge that listens and does not serve yet.
pub struct Bound {
    listener: TcpListener,
    config: Config,
    edge: Arc<Edge>,
    orchestrator: Orchestrator,
}

/// Opens the listening socket. The orchestrator need not be there yet.
pub async fn bind(config: &Config) -> Result<Bound, EdgeError> {
    check_suffix(&config.suffix)?;
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.map_err(|source| EdgeError::Listen { address: config.listen, source })?;
    let orchestrator = Orchestrator::new(config)?;
    let (routes, metrics) = (Arc::new(Routes::default()), Arc::new(Metrics::new()));
    let authority = Arc::new(orchestrator.clone());
    let sessions = Sessions::new(authority.clone(), config.sessions.clone());
    let admission = Admission::new(sessions, config.scheme);
    let dialer = Arc::new(LocalDialer { timeout: config.upstream.dial_timeout });
    let upstream = Upstream::new(dialer, routes.clone(), metrics.clone(), config.upstream.clone());
    let edge = Edge::new(config, routes, admission, authority, upstream, metrics);
    Ok(Bound { listener, config: config.clone(), edge: Arc::new(edge), orchestrator })
}

fn check_suffix(suffix: &str) -> Result<(), EdgeError> {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if suffix.split('.').all(label) { Ok(()) } else { Err(EdgeError::Suffix(suffix.to_owned())) }
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What it knows of workspaces: `/ready` waits for the first table.
    pub fn routes(&self) -> Arc<Routes> {
        self.edge.routes.clone()
    }

    /// Serves until `shutdown`, then lets what is under way finish.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let routes = self.edge.routes.clone();
        let follow = tokio::spawn(self.orchestrator.clone().follow(routes.clone(), self.edge.metrics.clone()));
        let report = tokio::spawn(activity::report(routes, Arc::new(self.orchestrator)));
        listener::serve(self.edge, self.listener, &self.config.limits, self.config.shutdown.drain.0, shutdown).await;
        follow.abort();
        report.abort();
        Ok(())
    }
}
