//! `crannog timeline`

use super::wait;
use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;
use crate::{text, view, waterfall};

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let workspace = wait::get(&mut api, &options.target.workspace).await?;
    if options.output.is_json() {
        println!("{:#}", serde_json::Value::from_iter(workspace.timeline.iter().map(view::step)));
    } else {
        print!("{}", waterfall::render(&workspace.timeline, text::now_ms() * 1000));
    }
    Ok(())
}
