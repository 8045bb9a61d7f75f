//! The phase table as Markdown, printed from the function that decides, so that the page cannot drift from it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Action, Event, Phase};

/// Prints every move as a Markdown table, then what each phase resumes with.
pub fn phase_table() -> String {
    let mut page = String::from("| in phase | when | then | and do |\n|---|---|---|---|\n");
    for phase in Phase::ALL {
        for ((next, actions), events) in moves_of(phase) {
            let _ = writeln!(page, "| {phase} | {} | {next} | {actions} |", events.join(", "));
        }
    }
    page.push_str("\n| found in phase | do |\n|---|---|\n");
    for phase in Phase::ALL {
        let _ = writeln!(page, "| {phase} | {} |", list(phase.resume()));
    }
    page
}

/// Moves of one phase, those with the same outcome together; what changes nothing is left out.
fn moves_of(phase: Phase) -> BTreeMap<(Phase, String), Vec<String>> {
    let mut moves = BTreeMap::<_, Vec<_>>::new();
    for event in Event::PLAIN {
        let Ok((next, actions)) = phase.on(event) else { continue };
        if next != phase || !actions.is_empty() {
            moves.entry((next, list(actions))).or_default().push(format!("{event:?}"));
        }
    }
    moves
}

fn list(actions: &[Action]) -> String {
    if actions.is_empty() {
        return "nothing".into();
    }
    actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>().join(", ")
}
