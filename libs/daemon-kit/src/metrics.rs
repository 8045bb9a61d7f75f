//! The process's metrics recorder: Prometheus text for the admin port.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Reads what the `metrics` macros recorded.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// Installs the recorder; daemons that share a process share it.
pub fn install() -> Recorder {
    let handle = HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed first; /metrics stays empty");
        }
        handle
    });
    Recorder(handle.clone())
}

impl Recorder {
    /// All series, in the Prometheus text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_counted_is_rendered() {
        let recorder = super::install();
        metrics::counter!("daemon_kit_test_total").increment(3);
        assert!(super::install().render().contains("daemon_kit_test_total 3"), "{}", recorder.render());
    }
}
