//! Every series of this daemon.

use std::time::Duration;

/// What is counted and measured.
pub struct Metrics;

impl Metrics {
    /// `crannog_node_connected`: 1 while the orchestrator is reached.
    pub fn connected(is_connected: bool) {
        metrics::gauge!("crannog_node_connected").set(if is_connected { 1.0 } else { 0.0 });
    }

    /// `crannog_node_moves_total{phase}`: instances that came into a phase.
    pub fn moved(phase: &'static str) {
        metrics::counter!("crannog_node_moves_total", "phase" => phase).increment(1);
    }

    /// `crannog_node_resolve_seconds{result}`: throw-away instances that looked into a repository.
    pub fn resolved(took: Duration, went_well: bool) {
        let result = if went_well { "ok" } else { "error" };
        metrics::histogram!("crannog_node_resolve_seconds", "result" => result).record(took.as_secs_f64());
    }
}
