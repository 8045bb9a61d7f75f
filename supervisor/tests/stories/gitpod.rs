//! Gitpod's own tools on the inside port.

use api::supervisor::info_service_client::InfoServiceClient;
use api::supervisor::listen_terminal_response::Output;
use api::supervisor::set_terminal_size_request::Priority;
use api::supervisor::status_service_client::StatusServiceClient;
use api::supervisor::terminal_service_client::TerminalServiceClient;
use api::supervisor::token_service_client::TokenServiceClient;
use api::supervisor::workspace_info_response::WorkspaceLocation;
use api::supervisor::*;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::instance::{Instance, PATIENCE};

async fn inside(instance: &Instance) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", instance.api_port))?;
    let begun = std::time::Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_tool_learns_where_it_is() -> anyhow::Result<()> {
    let instance = Instance::start().await?;
    let channel = inside(&instance).await?;
    let content = StatusServiceClient::new(channel.clone()).content_status(ContentStatusRequest { wait: true }).await?;
    assert!(content.get_ref().available);
    let info = InfoServiceClient::new(channel.clone()).workspace_info(WorkspaceInfoRequest {}).await?.into_inner();
    assert_eq!(info.workspace_url, "http://story.localhost:7280");
    let folder = instance.home.join("app").display().to_string();
    assert_eq!(info.checkout_location, folder);
    assert_eq!(info.workspace_location, Some(WorkspaceLocation::WorkspaceLocationFolder(folder)));
    let absent = TokenServiceClient::new(channel).get_token(GetTokenRequest::default()).await.expect_err("no tokens");
    assert_eq!((absent.code(), absent.message()), (Code::Unimplemented, "GetToken is not served by this supervisor"));
    Ok(())
}

#[tokio::test]
async fn a_terminal_is_opened_listened_to_and_ends_with_its_exit_code() -> anyhow::Result<()> {
    let instance = Instance::start().await?;
    let mut terminals = TerminalServiceClient::new(inside(&instance).await?);
    let request = OpenTerminalRequest {
        shell: "/bin/bash".into(),
        shell_args: vec!["-c".into(), "read x; echo \"<$x>\"; exit 9".into()],
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        ..Default::default()
    };
    let opened = terminals.open(request).await?.into_inner();
    let terminal = opened.terminal.expect("a terminal");
    assert_eq!(terminal.annotations["a"], "b");
    let alias = terminal.alias;
    let resize = |priority| SetTerminalSizeRequest { alias: alias.clone(), priority, ..Default::default() };
    let refused = terminals.set_size(resize(Some(Priority::Token("guess".into())))).await.expect_err("not the opener");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    terminals.set_size(resize(Some(Priority::Token(opened.starter_token)))).await?;
    let mut listening = terminals.listen(ListenTerminalRequest { alias: alias.clone() }).await?.into_inner();
    terminals.set_title(SetTerminalTitleRequest { alias: alias.clone(), title: "mine".into() }).await?;
    terminals.write(WriteTerminalRequest { alias: alias.clone(), stdin: b"hi\n".to_vec().into() }).await?;
    let (mut said, mut code) = (Vec::new(), None);
    while let Some(answer) = tokio::time::timeout(PATIENCE, listening.message()).await?? {
        match answer.output.expect("something") {
            Output::Data(data) => said.extend_from_slice(&data),
            Output::ExitCode(exit) => code = Some(exit),
            Output::Title(_) => {}
        }
    }
    assert!(String::from_utf8_lossy(&said).contains("<hi>"));
    assert_eq!(code, Some(9));
    assert_eq!(terminals.get(GetTerminalRequest { alias }).await.expect_err("gone").code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn ports_and_tasks_are_told_once_or_again_with_each_change() -> anyhow::Result<()> {
    let instance = Instance::start().await?;
    let mut status = StatusServiceClient::new(inside(&instance).await?);
    let mut once = status.tasks_status(TasksStatusRequest { observe: false }).await?.into_inner();
    assert_eq!(once.message().await?, Some(TasksStatusResponse::default()));
    assert_eq!(once.message().await?, None);
    let mut observed = status.ports_status(PortsStatusRequest { observe: true }).await?.into_inner();
    assert!(observed.message().await?.is_some());
    let resources = status.resources_status(ResourcesStatuRequest {}).await?.into_inner();
    assert!(resources.memory.is_some() && resources.cpu.is_some());
    Ok(())
}
