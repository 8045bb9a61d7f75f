//! Every series of this daemon. Handles are made once: counting a request looks nothing up.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The series.
#[derive(Debug)]
pub struct Metrics {
    /// Requests that came in.
    pub requests: Counter,
    /// Answers that the edge gave itself: pages, redirects, refusals.
    pub own_answers: Counter,
    /// Requests that were not HTTP as it must be.
    pub malformed: Counter,
    /// Requests refused by the auth step.
    pub not_admitted: Counter,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections turned away at the limit.
    pub connections_refused: Counter,
    /// WebSockets and other tunnels that are open.
    pub tunnels: Gauge,
    /// Streams closed because their route changed.
    pub torn_down: Counter,
    /// Seconds to get a connected socket.
    pub dial_seconds: Histogram,
    /// Sockets that were not to be had.
    pub dial_failures: Counter,
    /// Workspaces known.
    pub routes: Gauge,
    /// 1 while the table may be old: the orchestrator is away.
    pub routes_stale: Gauge,
}

impl Metrics {
    /// Registers all series with the process's recorder.
    pub fn new() -> Self {
        Self {
            requests: counter!("crannog_edge_requests_total"),
            own_answers: counter!("crannog_edge_own_answers_total"),
            malformed: counter!("crannog_edge_malformed_requests_total"),
            not_admitted: counter!("crannog_edge_not_admitted_total"),
            connections: gauge!("crannog_edge_connections"),
            connections_refused: counter!("crannog_edge_connections_refused_total"),
            tunnels: gauge!("crannog_edge_tunnels"),
            torn_down: counter!("crannog_edge_torn_down_total"),
            dial_seconds: histogram!("crannog_edge_dial_seconds"),
            dial_failures: counter!("crannog_edge_dial_failures_total"),
            routes: gauge!("crannog_edge_routes"),
            routes_stale: gauge!("crannog_edge_routes_stale"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
