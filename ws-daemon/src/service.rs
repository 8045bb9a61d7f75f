//! What this daemon serves: to the orchestrator, over tunnels.

pub mod node_local;
