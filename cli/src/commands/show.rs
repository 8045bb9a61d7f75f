//! `crannog show`

use api::v1;

use super::wait;
use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view};

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let workspace = wait::get(&mut api, &options.target.workspace).await?;
    if options.output.is_json() {
        println!("{:#}", view::workspace(&workspace));
        return Ok(());
    }
    print!("{}", describe(&workspace));
    Ok(())
}

fn describe(w: &v1::Workspace) -> String {
    let mut out = facts(w);
    let bad = |c: &&v1::Condition| c.status() == v1::condition::Status::False && !c.message.is_empty();
    for condition in w.conditions.iter().filter(bad) {
        out.push_str(&format!("\n! {}\n", text::printable(&condition.message)));
        if !condition.hint.is_empty() {
            out.push_str(&format!("  what to do: {}\n", text::printable(&condition.hint)));
        }
    }
    for warning in &w.warnings {
        out.push_str(&format!("\nwarning: {}\n", text::printable(warning)));
    }
    let sections = [
        ("tasks", super::logs::table(w)),
        ("ports", super::ports::table(&w.ports)),
        ("terminals", super::terminals::table(&w.terminals)),
    ];
    for (title, table) in sections.into_iter().filter(|(_, table)| !table.is_empty()) {
        out.push_str(&format!("\n{title}\n{table}"));
    }
    out
}

fn facts(w: &v1::Workspace) -> String {
    let usage = w.usage.unwrap_or_default();
    let used = if usage.memory_bytes == 0 {
        String::new()
    } else {
        format!("{} memory, {} processes, {} on disk", text::bytes(usage.memory_bytes), usage.pids, text::bytes(usage.disk_bytes))
    };
    let facts = [
        ("name", w.name.clone()),
        ("id", w.id.clone()),
        ("phase", super::list::phase(w)),
        ("why", w.conclusion_reason.clone()),
        ("source", view::source(w)),
        ("commit", w.commit.clone()),
        ("branch", w.branch.clone()),
        ("image", w.image.clone()),
        ("node", w.node.clone()),
        ("directory", w.working_directory.clone()),
        ("created", text::ago(w.created_unix_ms)),
        ("active", text::ago(w.last_activity_unix_ms)),
        ("uses", used),
    ];
    let rows: Vec<Vec<String>> =
        facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| vec![name.to_owned(), value]).collect();
    text::table(&rows)
}
