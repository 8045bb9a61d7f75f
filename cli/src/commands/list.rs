//! `crannog list`

use api::v1;

use crate::args::Output;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view};

pub async fn run(mut api: Api, output: Output) -> Result<(), CommandError> {
    let request = v1::ListWorkspacesRequest { with_deleted: false };
    let workspaces = api.list_workspaces(request).await?.into_inner().workspaces;
    if output.is_json() {
        println!("{:#}", serde_json::Value::from_iter(workspaces.iter().map(view::workspace)));
        return Ok(());
    }
    if workspaces.is_empty() {
        println!("no workspaces yet; make one with `crannog start SOURCE`");
        return Ok(());
    }
    let mut rows = vec![["NAME", "PHASE", "SOURCE", "BRANCH", "IMAGE", "ACTIVE", "ID"].map(str::to_owned).to_vec()];
    rows.extend(workspaces.iter().map(row));
    print!("{}", text::table(&rows));
    Ok(())
}

fn row(w: &v1::Workspace) -> Vec<String> {
    let branch = if w.branch.is_empty() { w.commit.chars().take(10).collect() } else { w.branch.clone() };
    let id: String = w.id.chars().take(10).collect();
    vec![w.name.clone(), phase(w), view::source(w), branch, w.image.clone(), text::ago(w.last_activity_unix_ms), id]
}

/// The phase, and why where it is not what one would hope for.
pub fn phase(w: &v1::Workspace) -> String {
    match v1::Conclusion::try_from(w.conclusion) {
        Ok(v1::Conclusion::Failed | v1::Conclusion::Lost | v1::Conclusion::TimedOut) if w.phase() == v1::Phase::Stopped => {
            format!("stopped ({})", view::conclusion(w.conclusion))
        }
        _ => view::phase(w.phase),
    }
}
