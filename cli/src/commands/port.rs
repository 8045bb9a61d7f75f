//! `crannog port`

use api::v1;

use super::wait;
use crate::args::Port;
use crate::client::Api;
use crate::error::CommandError;
use crate::view;

pub async fn run(mut api: Api, options: Port) -> Result<(), CommandError> {
    let visibility = if options.public { v1::Visibility::Public } else { v1::Visibility::Private };
    let request = v1::SetWorkspacePortRequest {
        workspace: options.target.workspace,
        port: options.port.into(),
        visibility: visibility.into(),
        request_id: wait::request_id(),
    };
    let workspace = api.set_port_visibility(request).await?.into_inner();
    if options.output.is_json() {
        println!("{:#}", serde_json::Value::from_iter(workspace.ports.iter().map(view::port)));
    } else {
        println!("port {} of {} is {}", options.port, workspace.name, view::visibility(visibility.into()));
    }
    Ok(())
}
