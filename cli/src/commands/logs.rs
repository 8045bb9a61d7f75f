//! `crannog logs`: what tasks wrote, while they run and after.

use std::io::Write as _;

use api::v1;

use super::wait;
use crate::args::Logs;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view};

pub async fn run(mut api: Api, options: Logs) -> Result<(), CommandError> {
    let workspace = wait::get(&mut api, &options.target.workspace).await?;
    let request = v1::LogsRequest {
        workspace: workspace.id.clone(),
        task: options.task.clone().unwrap_or_default(),
        follow: options.follow,
        offsets: Default::default(),
    };
    let mut pieces = api.logs(request).await?.into_inner();
    let mut printer = Printer::new(&workspace, options.output.is_json(), options.task.is_none() && workspace.tasks.len() > 1);
    while let Some(piece) = pieces.message().await? {
        printer.print(&piece).map_err(CommandError::io("write to standard output"))?;
    }
    Ok(())
}

/// Output of several tasks is told apart by a line with the task's name whenever another one speaks.
struct Printer {
    names: std::collections::HashMap<String, String>,
    json: bool,
    headed: bool,
    speaking: Option<String>,
}

impl Printer {
    fn new(workspace: &v1::Workspace, json: bool, headed: bool) -> Self {
        let name = |task: &v1::TaskStatus| if task.name.is_empty() { format!("task {}", task.id) } else { task.name.clone() };
        let names = workspace.tasks.iter().map(|task| (task.id.clone(), name(task))).collect();
        Self { names, json, headed, speaking: None }
    }

    fn print(&mut self, piece: &v1::LogsResponse) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let text = String::from_utf8_lossy(&piece.data);
            let value = serde_json::json!({"task": piece.task, "offset": piece.offset, "text": text, "closed": piece.closed, "time_unix_ms": piece.time_unix_ms});
            return writeln!(out, "{value}");
        }
        if piece.data.is_empty() {
            return Ok(());
        }
        if self.headed && self.speaking.as_deref() != Some(&piece.task) {
            let name = self.names.get(&piece.task).map_or(piece.task.as_str(), String::as_str);
            writeln!(out, "── {} ──", text::printable(name))?;
            self.speaking = Some(piece.task.clone());
        }
        out.write_all(&piece.data)?;
        out.flush()
    }
}

/// The tasks of `crannog show`.
pub fn table(workspace: &v1::Workspace) -> String {
    if workspace.tasks.is_empty() {
        return String::new();
    }
    let stage = |s: &v1::StageResult| {
        format!("{} {}", s.stage, if s.exit_code == 0 { "ok".into() } else { format!("failed ({})", s.exit_code) })
    };
    let mut rows = vec![["ID", "NAME", "STATE", "STAGE", "ENDED", "TERMINAL"].map(str::to_owned).to_vec()];
    rows.extend(workspace.tasks.iter().map(|t| {
        let ended = t.stages.iter().map(stage).collect::<Vec<_>>().join(", ");
        vec![t.id.clone(), t.name.clone(), view::task_state(t).to_owned(), t.stage.clone(), ended, t.terminal.clone()]
    }));
    text::table(&rows)
}
