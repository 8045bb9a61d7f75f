//! What a supervisor says belongs to the user of the instance. It is cut to size and stripped of what could deceive a
//! reader, before anything else looks at it.

use api::v1::{Condition, ContentStatus, PortStatus, StageResult, Step, SupervisorState, TaskStatus, TerminalStatus};

const MAX_TEXT: usize = 2_048;
const MAX_NAME: usize = 128;
const MAX_TASKS: usize = 64;
const MAX_TERMINALS: usize = 64;
const MAX_PORTS: usize = 256;
const MAX_STEPS: usize = 256;
const MAX_ARGUMENTS: usize = 64;

/// Conditions that the supervisor may speak of; the others are the node's own.
const CONDITIONS: [&str; 4] = ["ConfigValid", "ContentReady", "Ready", "TasksStarted"];

/// A state within bounds. `now_ms` bounds its times: nothing has happened in the future.
pub fn state(mut state: SupervisorState, now_ms: i64) -> SupervisorState {
    state.tasks.truncate(MAX_TASKS);
    state.terminals.truncate(MAX_TERMINALS);
    state.ports.retain(|port| (1..=65_535).contains(&port.port));
    state.ports.truncate(MAX_PORTS);
    state.timeline.truncate(MAX_STEPS);
    state.conditions.retain(|condition| CONDITIONS.contains(&condition.r#type.as_str()));
    state.conditions.truncate(CONDITIONS.len());
    state.content.iter_mut().for_each(content);
    state.tasks.iter_mut().for_each(task);
    state.terminals.iter_mut().for_each(terminal);
    state.ports.iter_mut().for_each(port);
    state.timeline.iter_mut().for_each(|one| step(one, now_ms.saturating_mul(1_000)));
    state.conditions.iter_mut().for_each(|one| condition(one, now_ms));
    state.last_activity_unix_ms = state.last_activity_unix_ms.clamp(0, now_ms);
    state
}

/// A sentence within bounds: no control characters (a terminal shows it), no more than 2 KiB.
pub fn text(input: &str) -> String {
    cut(input, MAX_TEXT)
}

fn name(input: &mut String) {
    *input = cut(input, MAX_NAME);
}

fn sentence(input: &mut String) {
    *input = text(input);
}

fn cut(input: &str, bytes: usize) -> String {
    let mut output = String::new();
    for letter in input.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')) {
        if output.len() + letter.len_utf8() > bytes {
            break;
        }
        output.push(letter);
    }
    output
}

fn content(content: &mut ContentStatus) {
    [&mut content.commit, &mut content.error_class].into_iter().for_each(name);
    [&mut content.branch, &mut content.error, &mut content.hint].into_iter().for_each(sentence);
}

fn task(task: &mut TaskStatus) {
    [&mut task.id, &mut task.name, &mut task.terminal, &mut task.stage].into_iter().for_each(name);
    task.stages.truncate(8);
    task.stages.iter_mut().for_each(|stage: &mut StageResult| name(&mut stage.stage));
}

fn terminal(terminal: &mut TerminalStatus) {
    [&mut terminal.alias, &mut terminal.title, &mut terminal.task_id].into_iter().for_each(name);
    sentence(&mut terminal.working_directory);
    terminal.command.truncate(MAX_ARGUMENTS);
    terminal.command.iter_mut().for_each(sentence);
}

fn port(port: &mut PortStatus) {
    [&mut port.bind, &mut port.process, &mut port.name, &mut port.on_open, &mut port.protocol].into_iter().for_each(name);
    sentence(&mut port.description);
    // Only the edge knows how a port is reached.
    port.url.clear();
}

fn step(step: &mut Step, now_us: i64) {
    name(&mut step.name);
    [&mut step.detail, &mut step.error].into_iter().for_each(sentence);
    step.started_unix_us = step.started_unix_us.clamp(0, now_us);
    step.ended_unix_us = step.ended_unix_us.clamp(0, now_us);
}

fn condition(condition: &mut Condition, now_ms: i64) {
    [&mut condition.reason, &mut condition.class].into_iter().for_each(name);
    [&mut condition.message, &mut condition.hint].into_iter().for_each(sentence);
    condition.since_unix_ms = condition.since_unix_ms.clamp(0, now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_a_forged_condition_dropped() {
        let forged = Condition { r#type: "ContentKept".into(), ..Condition::default() };
        let honest = Condition { r#type: "ContentReady".into(), message: "é".repeat(5_000), ..Condition::default() };
        let port = |port| PortStatus { port, url: "http://evil.example".into(), ..PortStatus::default() };
        let hostile = SupervisorState {
            tasks: vec![TaskStatus { name: "\x1b]0;owned\x07title".into(), ..TaskStatus::default() }; 10_000],
            ports: (0..100_000).map(port).collect(),
            conditions: vec![forged, honest],
            last_activity_unix_ms: i64::MAX,
            ..SupervisorState::default()
        };
        let state = state(hostile, 1_000);
        assert_eq!((state.tasks.len(), state.ports.len()), (MAX_TASKS, MAX_PORTS));
        assert_eq!(state.tasks[0].name, "]0;ownedtitle");
        assert!(state.ports.iter().all(|port| port.port > 0 && port.url.is_empty()));
        assert_eq!(state.conditions.iter().map(|one| one.r#type.as_str()).collect::<Vec<_>>(), ["ContentReady"]);
        assert!(state.conditions[0].message.len() <= MAX_TEXT);
        assert_eq!(state.last_activity_unix_ms, 1_000);
    }
}
