//! Commands, terminals, logs and ports, passed through to a supervisor.

use api::v1::*;
use bytes::Bytes;
use futures::stream;

use crate::world::{World, detail};

fn start(workspace: &str, command: &str) -> ExecRequest {
    let start = ExecStart { workspace: workspace.into(), command: vec![command.into()], stdin: true, ..Default::default() };
    ExecRequest { message: Some(exec_request::Message::Start(start)) }
}

fn stdin(data: impl Into<Bytes>) -> ExecRequest {
    ExecRequest { message: Some(exec_request::Message::Stdin(data.into())) }
}

fn eof() -> ExecRequest {
    ExecRequest { message: Some(exec_request::Message::StdinEof(true)) }
}

async fn exec(world: &World, messages: Vec<ExecRequest>) -> Result<(Vec<u8>, i32), tonic::Status> {
    let mut answers = world.people().await.exec(stream::iter(messages)).await?.into_inner();
    let (mut output, mut code) = (Vec::new(), -1);
    while let Some(answer) = answers.message().await? {
        match answer.message {
            Some(exec_response::Message::Stdout(data)) => output.extend_from_slice(&data),
            Some(exec_response::Message::Exit(exit)) => {
                code = exit.code;
                break;
            }
            _ => {}
        }
    }
    Ok((output, code))
}

#[tokio::test]
async fn a_commands_bytes_and_exit_code_pass_both_ways_over_one_tunnel() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    // More than the windows of the two connections hold, with every byte value in it.
    let pieces: Vec<Vec<u8>> =
        (0..48u8).map(|piece| (0..64 * 1024u32).map(|n| (n as u8).wrapping_add(piece)).collect()).collect();
    let messages = [start("app", "42")].into_iter().chain(pieces.iter().cloned().map(stdin)).chain([eof()]).collect();
    let (output, code) = exec(&world, messages).await.expect("exec");
    assert_eq!(code, 42);
    assert!(output == pieces.concat(), "binary clean");
    exec(&world, vec![start("app", "0"), eof()]).await.expect("a second command");
    node.memory(|memory| assert_eq!(memory.tunnels, 2, "one to the node for resolving, one to the supervisor"));
}

#[tokio::test]
async fn an_error_inside_keeps_its_class_and_hint() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let refused = exec(&world, vec![start("app", "missing")]).await.expect_err("missing");
    assert_eq!(detail(&refused), ("not-found".into(), "install it".into()));
    assert_eq!(daemon_kit::status::detail_of(&refused).reason, "CommandNotFound");
}

#[tokio::test]
async fn a_command_in_a_stopped_workspace_is_refused_with_the_command_that_starts_it() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    let refused = exec(&world, vec![start("app", "0")]).await.expect_err("stopped");
    assert_eq!(detail(&refused), ("failed-precondition".into(), "start it with `crannog start app`".into()));
    assert_eq!(detail(&exec(&world, vec![start("nobody", "0")]).await.expect_err("nobody")).0, "not-found");
    assert_eq!(detail(&exec(&world, vec![eof()]).await.expect_err("no start")).0, "invalid-argument");
}

#[tokio::test]
async fn a_terminal_takes_keystrokes_and_gives_output() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let begin = AttachStart { workspace: "app".into(), ..Default::default() };
    let (keys, typed) = tokio::sync::mpsc::channel(4);
    keys.send(AttachRequest { message: Some(attach_request::Message::Start(begin)) }).await.expect("start");
    let mut output =
        world.people().await.attach(tokio_stream::wrappers::ReceiverStream::new(typed)).await.expect("attach").into_inner();
    let opened = output.message().await.expect("opened").expect("opened").message;
    assert!(matches!(opened, Some(attach_response::Message::Opened(_))));
    keys.send(AttachRequest { message: Some(attach_request::Message::Input("ls\n".into())) }).await.expect("key");
    let echoed = output.message().await.expect("output").expect("output").message;
    assert_eq!(echoed, Some(attach_response::Message::Output("ls\n".into())));
    let terminals = world.people().await.list_terminals(ListTerminalsRequest { workspace: "app".into() }).await.expect("list");
    assert_eq!(terminals.into_inner().terminals[0].alias, "t1");
}

#[tokio::test]
async fn logs_come_from_the_instance_while_it_runs_and_from_the_node_afterwards() {
    let world = World::start().await;
    world.node("n1").await;
    let id = world.create("app").await.id;
    world.running("app").await;
    let logs = async || {
        let request = LogsRequest { workspace: "app".into(), ..Default::default() };
        let mut logs = world.people().await.logs(request).await.expect("logs").into_inner();
        logs.message().await.expect("log").expect("log").data
    };
    assert_eq!(logs().await, "live");
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    assert_eq!(logs().await, format!("kept for {id}"));
}

fn forward(port: u32) -> PortForwardRequest {
    PortForwardRequest { message: Some(port_forward_request::Message::Start(PortForwardStart { workspace: "app".into(), port })) }
}

#[tokio::test]
async fn a_port_is_forwarded_and_a_half_close_passes() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let data =
        |text: &str| PortForwardRequest { message: Some(port_forward_request::Message::Data(text.as_bytes().to_vec().into())) };
    // The server answers only when its client has sent all: the end of the requests is what it waits for.
    let requests = stream::iter([forward(8080), data("hello "), data("port")]);
    let mut answers = world.people().await.port_forward(requests).await.expect("forward").into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await.expect("answer") {
        all.extend_from_slice(&answer.data);
    }
    assert_eq!(all, b"hello port");
    let refused = world.people().await.port_forward(stream::iter([forward(1)])).await.expect_err("refused");
    assert_eq!(daemon_kit::status::detail_of(&refused).reason, "ConnectionRefused");
    assert_eq!(
        detail(&world.people().await.port_forward(stream::iter([forward(70000)])).await.expect_err("port")).0,
        "invalid-argument"
    );
}
