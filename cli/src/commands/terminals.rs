//! `crannog terminals`

use api::v1;

use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view};

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let request = v1::ListTerminalsRequest { workspace: options.target.workspace.clone() };
    let terminals = api.list_terminals(request).await?.into_inner().terminals;
    if options.output.is_json() {
        println!("{:#}", serde_json::Value::from_iter(terminals.iter().map(view::terminal)));
    } else if terminals.is_empty() {
        println!("no terminals; open one with `crannog shell {}`", options.target.workspace);
    } else {
        print!("{}", table(&terminals));
    }
    Ok(())
}

/// The terminals of a workspace as a table.
pub fn table(terminals: &[v1::TerminalStatus]) -> String {
    if terminals.is_empty() {
        return String::new();
    }
    let mut rows = vec![["TERMINAL", "TITLE", "SIZE", "VIEWERS", "PID", "DIRECTORY"].map(str::to_owned).to_vec()];
    rows.extend(terminals.iter().map(|t| {
        let size = format!("{}x{}", t.columns, t.rows);
        vec![t.alias.clone(), t.title.clone(), size, t.viewers.to_string(), t.pid.to_string(), t.working_directory.clone()]
    }));
    text::table(&rows)
}
