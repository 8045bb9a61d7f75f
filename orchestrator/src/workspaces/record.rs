//! One workspace, all that is known of it.

use std::collections::BTreeMap;

use api::v1::{Condition, CreateWorkspaceRequest, InstanceSpec, InstanceStatus, PortStatus, Step, Visibility, condition};
use domain::phase::Phase;
use domain::planner;

/// A workspace with its latest instance.
#[derive(Debug, Clone)]
pub struct Record {
    /// 32 hex digits.
    pub id: String,
    /// Unique among those not deleted.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// Milliseconds since 1970, as all times here.
    pub created: i64,
    /// Deleted by its owner; its name is free again.
    pub deleted: bool,
    /// The node has forgotten it too.
    pub forgotten: bool,
    /// What was asked for.
    pub request: CreateWorkspaceRequest,
    /// Grows with each change.
    pub revision: u64,
    /// Where its content is; empty before the first start.
    pub node: String,
    /// The commit it was made from, later the one that is checked out.
    pub commit: String,
    /// The branch, likewise.
    pub branch: String,
    /// Of the configuration file.
    pub warnings: Vec<String>,
    /// Whether a start once brought the content in: it need not be resolved again.
    pub content_ready: bool,
    /// Whether every task's `init` has ended.
    pub init_done: bool,
    /// Keystroke, command, request.
    pub last_activity: i64,
    /// Ports whose visibility the owner chose: [`Visibility`] as on the wire.
    pub visibility: BTreeMap<u32, i32>,
    /// The latest instance.
    pub instance: Instance,
}

/// What should become of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// It runs.
    Running,
    /// It does not; what the workspace keeps stays.
    Stopped,
    /// Nothing is left of it nor of what the workspace keeps.
    Forgotten,
}

/// Why and how an instance is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// For people.
    pub reason: String,
    /// [`api::v1::Conclusion`] as on the wire.
    pub conclusion: i32,
}

/// One start of a workspace.
#[derive(Debug, Clone)]
pub struct Instance {
    /// 32 hex digits.
    pub id: String,
    /// When the start was asked for.
    pub created: i64,
    /// When it ran; 0 before.
    pub started: i64,
    /// When it had stopped; 0 before.
    pub stopped: i64,
    /// What the node is asked to run; `None` while the source is being resolved.
    pub spec: Option<InstanceSpec>,
    /// Where it is.
    pub phase: Phase,
    /// What should become of it.
    pub desired: Desired,
    /// Set when somebody wants it stopped.
    pub stop: Option<StopOrder>,
    /// What the node said last.
    pub status: InstanceStatus,
    /// Steps and conditions of the orchestrator itself.
    pub own: InstanceStatus,
    /// How it ended, once it has.
    pub conclusion: i32,
    /// Why.
    pub conclusion_reason: String,
}

impl Desired {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Forgotten => "forgotten",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Stopped, Self::Forgotten].into_iter().find(|desired| desired.as_str() == text)
    }
}

impl Instance {
    /// A start that has just been asked for.
    pub fn new(now: i64) -> Self {
        Self {
            id: new_id(),
            created: now,
            started: 0,
            stopped: 0,
            spec: None,
            phase: Phase::Pending,
            desired: Desired::Running,
            stop: None,
            status: InstanceStatus::default(),
            own: InstanceStatus::default(),
            conclusion: 0,
            conclusion_reason: String::new(),
        }
    }

    /// The generation of its spec; 0 without one.
    pub fn generation(&self) -> u64 {
        self.spec.as_ref().map_or(0, |spec| spec.generation)
    }

    /// What a node is to be held to; `None` while there is nothing to ask of it.
    pub fn wanted(&self) -> Option<planner::Wanted> {
        let desired = match self.desired {
            Desired::Running => planner::Desired::Running,
            Desired::Stopped => planner::Desired::Stopped,
            Desired::Forgotten => planner::Desired::Forgotten,
        };
        let applicable = self.spec.is_some() || self.desired != Desired::Running;
        applicable.then(|| planner::Wanted { id: self.id.clone(), generation: self.generation(), desired })
    }

    /// Sets a condition of the orchestrator's own; one of the same type goes.
    pub fn set_condition(&mut self, condition: Condition) {
        self.clear_condition(&condition.r#type);
        self.own.conditions.push(condition);
    }

    /// Takes a condition of the orchestrator's own away.
    pub fn clear_condition(&mut self, kind: &str) {
        self.own.conditions.retain(|condition| condition.r#type != kind);
    }

    /// Replaces a step of the orchestrator's own, or adds it.
    pub fn set_step(&mut self, step: Step) {
        match self.own.timeline.iter_mut().find(|known| known.name == step.name) {
            Some(known) => *known = step,
            None => self.own.timeline.push(step),
        }
    }
}

impl Record {
    /// Whether it holds or may hold something on a node.
    pub fn concerns_a_node(&self) -> bool {
        !self.node.is_empty() && !self.forgotten
    }

    /// Who may reach a port: what the owner chose, else the first rule that names it, else only the owner. What the
    /// instance says of itself does not count: it may be hostile.
    pub fn visibility_of(&self, port: u32) -> Visibility {
        if let Some(chosen) = self.visibility.get(&port).and_then(|value| Visibility::try_from(*value).ok()) {
            return chosen;
        }
        let rules = self.instance.spec.as_ref().map(|spec| spec.ports.as_slice()).unwrap_or_default();
        match rules.iter().find(|rule| (rule.first..=rule.last).contains(&port)) {
            Some(rule) if rule.visibility() == Visibility::Public => Visibility::Public,
            _ => Visibility::Private,
        }
    }

    /// The ports to show: those that the instance reports, and those that the owner or a rule has something to say of;
    /// visibility and address are decided here.
    pub fn ports(&self) -> Vec<PortStatus> {
        let spec = self.instance.spec.as_ref();
        let template = spec.map(|spec| spec.edge_url_template.as_str()).unwrap_or_default();
        let mut ports: BTreeMap<u32, PortStatus> = self.visibility.keys().map(|port| (*port, unserved(*port))).collect();
        for rule in spec.map(|spec| spec.ports.as_slice()).unwrap_or_default().iter().filter(|rule| rule.first == rule.last) {
            let (name, description) = (rule.name.clone(), rule.description.clone());
            let (on_open, protocol) = (rule.on_open.clone(), rule.protocol.clone());
            ports.insert(rule.first, PortStatus { name, description, on_open, protocol, ..unserved(rule.first) });
        }
        ports.extend(self.instance.status.ports.iter().map(|port| (port.port, port.clone())));
        let decide = |port: PortStatus| PortStatus {
            visibility: self.visibility_of(port.port).into(),
            url: template.replace("{port}", &port.port.to_string()),
            ..port
        };
        ports.into_values().map(decide).collect()
    }
}

fn unserved(port: u32) -> PortStatus {
    PortStatus { port, ..PortStatus::default() }
}

/// 128 random bits as 32 hex digits.
pub fn new_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// A condition that is false: why, and what to do.
pub fn failed_condition(kind: &str, detail: &api::v1::ErrorDetail, now: i64) -> Condition {
    Condition {
        r#type: kind.into(),
        status: condition::Status::False.into(),
        reason: detail.reason.clone(),
        message: detail.message.clone(),
        hint: detail.hint.clone(),
        since_unix_ms: now,
        class: detail.class.clone(),
    }
}
