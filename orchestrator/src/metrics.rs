//! Every series of this daemon.

use std::collections::BTreeMap;

use domain::phase::Phase;

use crate::nodes::SharedNodes;
use crate::workspaces::hub::Hub;

/// Workspaces by the phase they are in.
const WORKSPACES: &str = "crannog_orchestrator_workspaces";
/// Nodes whose stream is up.
const NODES: &str = "crannog_orchestrator_nodes_connected";

/// Says what the series are.
pub fn describe() {
    metrics::describe_gauge!(WORKSPACES, "Workspaces that are not deleted, by phase");
    metrics::describe_gauge!(NODES, "Nodes that are connected");
}

/// Sets the gauges to what is.
pub fn record(hub: &Hub, nodes: &SharedNodes) {
    let mut counts: BTreeMap<&'static str, u32> = Phase::ALL.into_iter().map(|phase| (phase.as_str(), 0)).collect();
    for workspace in hub.all().iter().filter(|workspace| !workspace.deleted) {
        let phase = Phase::try_from(workspace.phase()).unwrap_or(Phase::Unknown);
        *counts.entry(phase.as_str()).or_default() += 1;
    }
    for (phase, count) in counts {
        metrics::gauge!(WORKSPACES, "phase" => phase).set(count);
    }
    let connected = nodes.all().iter().filter(|node| node.connected).count();
    metrics::gauge!(NODES).set(u32::try_from(connected).unwrap_or(u32::MAX));
}
