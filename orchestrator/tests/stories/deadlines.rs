//! What time does, by a clock that the test moves.

use std::time::Duration;

use api::v1::*;
use tokio_stream::wrappers::ReceiverStream;

use crate::world::{World, request};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_idle_workspace_is_warned_and_then_stopped_with_the_reason() {
    let world = World::with(|config| config.node_lease = "10h".parse().expect("duration")).await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    world.clock.advance(MINUTE * 26);
    world.has_event("workspace.idle").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running);
    world.clock.advance(MINUTE * 5);
    let stopped = world.stopped("app").await;
    assert_eq!(stopped.conclusion_reason, "nobody used it for 30m");
}

#[tokio::test]
async fn somebody_who_is_attached_keeps_it_awake_and_it_idles_from_when_they_left() {
    let world = World::with(|config| config.node_lease = "10h".parse().expect("duration")).await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let (keys, typed) = tokio::sync::mpsc::channel(4);
    let begin = AttachStart { workspace: "app".into(), ..Default::default() };
    keys.send(AttachRequest { message: Some(attach_request::Message::Start(begin)) }).await.expect("start");
    let mut output = world.people().await.attach(ReceiverStream::new(typed)).await.expect("attach").into_inner();
    output.message().await.expect("opened");
    // Another workspace, that nobody uses, shows that the deadlines were looked at.
    world.create_request(CreateWorkspaceRequest { idle_timeout_ms: 1000, ..request("other") }).await.expect("create");
    world.running("other").await;
    world.clock.advance(MINUTE * 120);
    world.stopped("other").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running);
    drop((keys, output));
    world.start_again("other").await.expect("start");
    world.running("other").await;
    world.clock.advance(MINUTE * 31);
    world.stopped("app").await;
}

#[tokio::test]
async fn a_request_to_a_port_keeps_it_awake() {
    let world = World::with(|config| config.node_lease = "10h".parse().expect("duration")).await;
    world.node("n1").await;
    let id = world.create("app").await.id;
    world.running("app").await;
    world.clock.advance(MINUTE * 29);
    world
        .edge()
        .await
        .report_activity(ReportActivityRequest { workspace_ids: vec![id, "unknown".into()] })
        .await
        .expect("report");
    world.create_request(CreateWorkspaceRequest { idle_timeout_ms: 1000, ..request("other") }).await.expect("create");
    world.running("other").await;
    world.clock.advance(MINUTE * 20);
    world.stopped("other").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running);
}

#[tokio::test]
async fn a_workspace_that_ran_as_long_as_it_may_is_stopped_however_busy() {
    let world = World::with(|config| {
        config.node_lease = "1000h".parse().expect("duration");
        config.idle_timeout = "0".parse().expect("duration");
    })
    .await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    world.clock.advance(MINUTE * 60 * 37);
    let stopped = world.stopped("app").await;
    assert_eq!(stopped.conclusion(), Conclusion::TimedOut);
    assert!(stopped.conclusion_reason.contains("1d12h"), "{}", stopped.conclusion_reason);
}
