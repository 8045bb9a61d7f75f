//! `crannog delete`

use api::v1;

use super::wait;
use crate::args::TargetOutput;
use crate::client::Api;
use crate::error::CommandError;

pub async fn run(mut api: Api, options: TargetOutput) -> Result<(), CommandError> {
    let found = wait::get(&mut api, &options.target.workspace).await?;
    let request = v1::DeleteWorkspaceRequest { workspace: found.id.clone(), request_id: wait::request_id() };
    api.delete_workspace(request).await?;
    if options.output.is_json() {
        println!("{}", serde_json::json!({"id": found.id, "name": found.name, "deleted": true}));
    } else {
        println!("workspace {} is deleted", found.name);
    }
    Ok(())
}
