//! `crannog ports`

use api::v1;

use super::wait;
use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view};

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let workspace = wait::get(&mut api, &options.target.workspace).await?;
    if options.output.is_json() {
        println!("{:#}", serde_json::Value::from_iter(workspace.ports.iter().map(view::port)));
    } else if workspace.ports.is_empty() {
        println!("nothing listens in {} yet", workspace.name);
    } else {
        print!("{}", table(&workspace.ports));
        println!("open a private one with `crannog url {} PORT`", workspace.name);
    }
    Ok(())
}

/// The ports of a workspace as a table.
pub fn table(ports: &[v1::PortStatus]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let mut rows = vec![["PORT", "NAME", "STATE", "VISIBILITY", "PROCESS", "URL"].map(str::to_owned).to_vec()];
    rows.extend(ports.iter().map(|p| {
        let state = if p.served { format!("on {}", p.bind) } else { "not served".into() };
        let process = if p.process.is_empty() { String::new() } else { format!("{} ({})", p.process, p.pid) };
        vec![p.port.to_string(), p.name.clone(), state, view::visibility(p.visibility).to_owned(), process, p.url.clone()]
    }));
    text::table(&rows)
}
