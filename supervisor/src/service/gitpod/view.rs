//! How our state looks in the words of the `supervisor` package.

use api::supervisor::ports_status::OnOpenAction;
use api::supervisor::{
    ExposedPortInfo, OnPortExposedAction, PortAutoExposure, PortProtocol, PortVisibility, PortsStatus, TaskPresentation,
    TaskState, TaskStatus,
};
use api::v1::{PortStatus, SupervisorState, TaskSpec, Visibility, task_status};

/// Ports above this one are somebody's random choice: nobody is told of them (Gitpod's rule).
const NOTIFIED: u32 = 10_000;

/// All ports, in the order in which the state has them; those that nobody wants to see are left out.
pub fn ports(state: &SupervisorState) -> Vec<PortsStatus> {
    state.ports.iter().map(port).filter(|port| port.on_open() != OnOpenAction::IgnoreCompletely).collect()
}

fn port(port: &PortStatus) -> PortsStatus {
    let on_open = on_open(port);
    PortsStatus {
        local_port: port.port,
        served: port.served,
        exposed: (!port.url.is_empty()).then(|| exposed(port, on_open)),
        auto_exposure: PortAutoExposure::Succeeded.into(),
        tunneled: None,
        description: port.description.clone(),
        name: port.name.clone(),
        on_open: on_open.into(),
    }
}

#[allow(deprecated, reason = "old clients read only this field")]
fn exposed(port: &PortStatus, on_open: OnOpenAction) -> ExposedPortInfo {
    let public = port.visibility() == Visibility::Public;
    ExposedPortInfo {
        visibility: if public { PortVisibility::Public } else { PortVisibility::Private }.into(),
        url: port.url.clone(),
        on_exposed: match on_open {
            OnOpenAction::Ignore => OnPortExposedAction::Ignore,
            OnOpenAction::OpenBrowser => OnPortExposedAction::OpenBrowser,
            OnOpenAction::OpenPreview => OnPortExposedAction::OpenPreview,
            OnOpenAction::NotifyPrivate => OnPortExposedAction::NotifyPrivate,
            OnOpenAction::Notify | OnOpenAction::IgnoreCompletely => OnPortExposedAction::Notify,
        }
        .into(),
        protocol: if port.protocol == "https" { PortProtocol::Https } else { PortProtocol::Http }.into(),
    }
}

fn on_open(port: &PortStatus) -> OnOpenAction {
    match port.on_open.as_str() {
        "ignore-completely" => OnOpenAction::IgnoreCompletely,
        "ignore" => OnOpenAction::Ignore,
        "open-browser" => OnOpenAction::OpenBrowser,
        "open-preview" => OnOpenAction::OpenPreview,
        "notify" => OnOpenAction::Notify,
        _ if port.port <= NOTIFIED => OnOpenAction::NotifyPrivate,
        _ => OnOpenAction::Ignore,
    }
}

/// All tasks, in the order of the configuration.
pub fn tasks(state: &SupervisorState, specs: &[TaskSpec]) -> Vec<TaskStatus> {
    state.tasks.iter().map(|task| self::task(task, specs.iter().find(|spec| spec.id == task.id))).collect()
}

fn task(task: &api::v1::TaskStatus, spec: Option<&TaskSpec>) -> TaskStatus {
    let state = match task.state() {
        task_status::State::Unknown | task_status::State::Opening => TaskState::Opening,
        task_status::State::Running => TaskState::Running,
        task_status::State::Closed => TaskState::Closed,
    };
    let presentation = TaskPresentation {
        name: task.name.clone(),
        open_in: spec.map(|spec| spec.open_in.clone()).unwrap_or_default(),
        open_mode: spec.map(|spec| spec.open_mode.clone()).unwrap_or_default(),
    };
    TaskStatus { id: task.id.clone(), state: state.into(), terminal: task.terminal.clone(), presentation: Some(presentation) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_without_a_rule_are_told_of_only_when_they_are_low() {
        let of = |port, on_open: &str| PortStatus { port, on_open: on_open.into(), ..Default::default() };
        assert_eq!(on_open(&of(3000, "")), OnOpenAction::NotifyPrivate);
        assert_eq!(on_open(&of(40000, "")), OnOpenAction::Ignore);
        assert_eq!(on_open(&of(40000, "open-browser")), OnOpenAction::OpenBrowser);
        let state = SupervisorState { ports: vec![of(1, "ignore-completely"), of(2, "")], ..Default::default() };
        assert_eq!(ports(&state).iter().map(|port| port.local_port).collect::<Vec<_>>(), [2]);
    }
}
