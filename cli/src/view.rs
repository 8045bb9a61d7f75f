//! A workspace as JSON for programs. The names of these fields are an interface: they are added to, never changed.

use api::v1;
use serde_json::{Value, json};

/// `PHASE_RUNNING` → "running".
pub fn phase(value: i32) -> String {
    let name = v1::Phase::try_from(value).unwrap_or(v1::Phase::Unspecified).as_str_name();
    word(name, "PHASE_")
}

/// `CONCLUSION_TIMED_OUT` → "timed-out"; empty while there is none.
pub fn conclusion(value: i32) -> String {
    match v1::Conclusion::try_from(value) {
        Ok(v1::Conclusion::Unspecified) | Err(_) => String::new(),
        Ok(conclusion) => word(conclusion.as_str_name(), "CONCLUSION_"),
    }
}

/// "public" or "private".
pub fn visibility(value: i32) -> &'static str {
    match v1::Visibility::try_from(value) {
        Ok(v1::Visibility::Public) => "public",
        _ => "private",
    }
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', "-")
}

/// What to show of a source.
pub fn source(workspace: &v1::Workspace) -> String {
    let source = workspace.source.clone().unwrap_or_default();
    [source.display, source.url, source.origin].into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// `crannog show -o json`
pub fn workspace(w: &v1::Workspace) -> Value {
    json!({
        "id": w.id, "name": w.name, "phase": phase(w.phase),
        "conditions": w.conditions.iter().map(condition).collect::<Vec<_>>(),
        "source": source(w), "commit": w.commit, "branch": w.branch, "image": w.image, "node": w.node,
        "tasks": w.tasks.iter().map(task).collect::<Vec<_>>(),
        "terminals": w.terminals.iter().map(terminal).collect::<Vec<_>>(),
        "ports": w.ports.iter().map(port).collect::<Vec<_>>(),
        "timeline": w.timeline.iter().map(step).collect::<Vec<_>>(),
        "instance": w.instance_id, "conclusion": conclusion(w.conclusion), "conclusion_reason": w.conclusion_reason,
        "owner": w.owner, "class": w.class, "working_directory": w.working_directory,
        "created_unix_ms": w.created_unix_ms, "started_unix_ms": w.started_unix_ms, "stopped_unix_ms": w.stopped_unix_ms,
        "last_activity_unix_ms": w.last_activity_unix_ms,
        "idle_timeout_ms": w.idle_timeout_ms, "max_lifetime_ms": w.max_lifetime_ms,
        "warnings": w.warnings, "revision": w.revision, "deleted": w.deleted,
        "content": w.content.as_ref().map(content), "usage": w.usage.as_ref().map(usage),
    })
}

fn condition(c: &v1::Condition) -> Value {
    let status = match c.status() {
        v1::condition::Status::True => "true",
        v1::condition::Status::False => "false",
        v1::condition::Status::Unknown => "unknown",
    };
    json!({"type": c.r#type, "status": status, "reason": c.reason, "message": c.message, "hint": c.hint, "class": c.class, "since_unix_ms": c.since_unix_ms})
}

/// State of a task as a word.
pub fn task_state(t: &v1::TaskStatus) -> &'static str {
    match t.state() {
        v1::task_status::State::Unknown => "unknown",
        v1::task_status::State::Opening => "opening",
        v1::task_status::State::Running => "running",
        v1::task_status::State::Closed => "closed",
    }
}

fn task(t: &v1::TaskStatus) -> Value {
    let stage = |s: &v1::StageResult| json!({"stage": s.stage, "exit_code": s.exit_code, "duration_ms": s.duration_ms});
    json!({"id": t.id, "name": t.name, "state": task_state(t), "terminal": t.terminal, "stage": t.stage, "stages": t.stages.iter().map(stage).collect::<Vec<_>>()})
}

/// One terminal.
pub fn terminal(t: &v1::TerminalStatus) -> Value {
    json!({"alias": t.alias, "title": t.title, "command": t.command, "columns": t.columns, "rows": t.rows, "viewers": t.viewers,
           "task": t.task_id, "pid": t.pid, "working_directory": t.working_directory})
}

/// One port.
pub fn port(p: &v1::PortStatus) -> Value {
    json!({"port": p.port, "served": p.served, "url": p.url, "visibility": visibility(p.visibility), "process": p.process, "pid": p.pid,
           "bind": p.bind, "name": p.name, "description": p.description, "on_open": p.on_open, "protocol": p.protocol})
}

/// One row of the waterfall.
pub fn step(s: &v1::Step) -> Value {
    json!({"name": s.name, "started_unix_us": s.started_unix_us, "ended_unix_us": s.ended_unix_us, "bytes": s.bytes, "total_bytes": s.total_bytes,
           "hit": s.hit, "detail": s.detail, "error": s.error})
}

fn content(c: &v1::ContentStatus) -> Value {
    json!({"ready": c.ready, "commit": c.commit, "branch": c.branch, "complete": c.complete, "init_done": c.init_done, "error": c.error, "error_class": c.error_class, "hint": c.hint})
}

fn usage(u: &v1::Usage) -> Value {
    json!({"memory_bytes": u.memory_bytes, "cpu_usec": u.cpu_usec, "pids": u.pids, "oom_kills": u.oom_kills, "disk_bytes": u.disk_bytes})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn show_has_the_fields_that_programs_rely_on() {
        let value = workspace(&v1::Workspace { phase: v1::Phase::Running.into(), ..Default::default() });
        for key in
            ["id", "name", "phase", "conditions", "source", "commit", "image", "node", "tasks", "terminals", "ports", "timeline"]
        {
            assert!(value.get(key).is_some(), "{key}");
        }
        assert_eq!(value["phase"], "running");
        let port = port(&v1::PortStatus { port: 80, visibility: v1::Visibility::Public.into(), ..Default::default() });
        assert_eq!((&port["port"], &port["visibility"]), (&json!(80), &json!("public")));
    }
}
