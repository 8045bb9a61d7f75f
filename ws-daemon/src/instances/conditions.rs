//! Conditions of an instance: one for each type, and since when it is so.

use api::v1::Condition;
use api::v1::condition::Status;
use domain::class::Classify;

use crate::error::NodeError;
use crate::world::now_ms;

/// Says that a condition holds.
pub fn set_true(conditions: &mut Vec<Condition>, kind: &str, reason: &str, message: &str) {
    let condition = Condition {
        r#type: kind.into(),
        status: Status::True.into(),
        reason: reason.into(),
        message: message.into(),
        ..Condition::default()
    };
    set(conditions, condition);
}

/// Says that a condition does not hold because of an error. Of our own faults people see only that there was one.
pub fn set_failed(conditions: &mut Vec<Condition>, kind: &str, error: &NodeError) {
    set(conditions, failed(kind, error));
}

/// The condition that an error makes.
pub fn failed(kind: &str, error: &NodeError) -> Condition {
    let is_ours = matches!(error, NodeError::Inside { .. } | NodeError::Io { .. });
    let hint = if is_ours { "the node's log has the cause".to_owned() } else { String::new() };
    Condition {
        r#type: kind.into(),
        status: Status::False.into(),
        reason: error.reason().into(),
        message: if is_ours { format!("could not {error}") } else { error.to_string() },
        hint: error.hint().unwrap_or(hint),
        class: error.class().as_str().into(),
        since_unix_ms: 0,
    }
}

/// Puts a condition in the place of the one of its type; the time stays while its status does.
pub fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    let before = conditions.iter_mut().find(|one| one.r#type == condition.r#type);
    condition.since_unix_ms = match &before {
        Some(before) if before.status == condition.status && before.since_unix_ms > 0 => before.since_unix_ms,
        _ if condition.since_unix_ms > 0 => condition.since_unix_ms,
        _ => now_ms(),
    };
    match before {
        Some(before) => *before = condition,
        None => conditions.push(condition),
    }
}
