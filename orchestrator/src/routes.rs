//! The table of routes that edges follow. A route's generation grows when what it lets through changes, so that an edge
//! knows which streams to close; never when only something for people did.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::v1::{Phase, PortStatus, Route, Workspace};
use domain::phase::Phase as LifePhase;

use crate::nodes::SharedNodes;

/// Gives generations to routes.
pub struct Routes {
    nodes: SharedNodes,
    known: Mutex<HashMap<String, (Essence, u64)>>,
    /// Generations begin at the time of this process, so that they grow across its restarts too.
    first: u64,
}

/// What a route lets through: a change of it is a new generation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Essence {
    instance_id: String,
    running: bool,
    public: Vec<u32>,
    node: String,
}

impl Routes {
    /// Begins at a time.
    pub fn new(nodes: SharedNodes, now: i64) -> Arc<Self> {
        Arc::new(Self { nodes, known: Mutex::default(), first: u64::try_from(now).unwrap_or(0) })
    }

    /// The route of a workspace.
    pub fn route(&self, workspace: &Workspace) -> Route {
        let running = workspace.phase() == Phase::Running;
        let is_public = |port: &&PortStatus| port.visibility() == api::v1::Visibility::Public;
        let essence = Essence {
            instance_id: workspace.instance_id.clone(),
            running,
            public: workspace.ports.iter().filter(is_public).map(|port| port.port).collect(),
            node: workspace.node.clone(),
        };
        let node = self.nodes.get(&workspace.node);
        let ended = LifePhase::try_from(workspace.phase()).is_ok_and(LifePhase::has_ended);
        Route {
            workspace_id: workspace.id.clone(),
            name: workspace.name.clone(),
            instance_id: if ended { String::new() } else { workspace.instance_id.clone() },
            phase: workspace.phase,
            generation: self.generation(&workspace.id, essence),
            ports: workspace.ports.clone(),
            node: workspace.node.clone(),
            dial_socket: node.map(|node| node.dial_socket).unwrap_or_default(),
            timeline: workspace.timeline.clone(),
            message: message(workspace),
        }
    }

    fn generation(&self, id: &str, essence: Essence) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.first;
        let (present, generation) = known.entry(id.to_owned()).or_insert_with(|| (essence.clone(), first));
        if *present != essence {
            *present = essence;
            *generation += 1;
        }
        *generation
    }

    /// Forgets a deleted workspace.
    pub fn forget(&self, id: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Why it is not running, for the page that a browser gets.
fn message(workspace: &Workspace) -> String {
    if !workspace.conclusion_reason.is_empty() {
        return workspace.conclusion_reason.clone();
    }
    let waiting = workspace.conditions.iter().find(|condition| condition.r#type == "Scheduled");
    waiting.map(|condition| condition.message.clone()).unwrap_or_default()
}
