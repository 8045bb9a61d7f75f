//! Nodes that come, break off and come back.

use std::time::Duration;

use api::v1::node_message::Message as Up;
use api::v1::*;

use crate::fake_node::FakeNode;
use crate::world::{World, detail};

#[tokio::test]
async fn a_workspace_waits_for_a_node_and_says_so() {
    let world = World::start().await;
    world.create("app").await;
    let waiting = world.until("app", |state| !state.conditions.is_empty()).await;
    assert_eq!(waiting.phase(), Phase::Pending);
    let condition = &waiting.conditions[0];
    assert_eq!((condition.r#type.as_str(), condition.class.as_str()), ("Scheduled", ""), "waiting is no error");
    world.node("n1").await;
    assert!(world.running("app").await.conditions.is_empty());
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_was_and_nothing_is_done_twice() {
    let world = World::start().await;
    let node = FakeNode::new("n1");
    node.connect_as(&world, "s", 0).await;
    node.send_inventory().await;
    // It hears the command and loses the stream before it can acknowledge.
    node.acknowledges.store(false, std::sync::atomic::Ordering::SeqCst);
    node.obedient.store(false, std::sync::atomic::Ordering::SeqCst);
    world.create("app").await;
    node.until("apply", |memory| memory.applied.len() == 1).await;
    node.connect_as(&world, "s", 0).await;
    node.until("the same again", |memory| memory.received == [1, 1]).await;
    assert!(node.memory(|memory| memory.welcomes[1].resumed && !memory.welcomes[0].resumed));
    // Acknowledged now, it is not said a third time.
    node.connect_as(&world, "s", 1).await;
    let spec = node.memory(|memory| memory.applied[0].clone());
    node.obedient.store(true, std::sync::atomic::Ordering::SeqCst);
    node.report(&spec.id, &spec.workspace_id, |status| status.set_phase(Phase::Running)).await;
    world.running("app").await;
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    node.memory(|memory| assert_eq!(memory.received, [1, 1, 2]));
}

#[tokio::test]
async fn a_message_that_comes_twice_counts_once() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let running = world.running("app").await;
    let status = |phase: Phase, sequence| InstanceStatus {
        id: running.instance_id.clone(),
        workspace_id: running.id.clone(),
        sequence,
        observed_generation: 1,
        phase: phase.into(),
        ..Default::default()
    };
    // An older word of the instance, and a repeated number of the stream: neither takes it back.
    node.send(Up::Status(status(Phase::Preparing, 0))).await;
    node.say(NodeMessage { sequence: 1, ack: 0, message: Some(Up::Status(status(Phase::Stopped, 99))) }).await;
    node.send(Up::Event(NodeEvent { kind: "test".into(), message: "later".into(), ..Default::default() })).await;
    world.has_event("node.event").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running);
}

#[tokio::test]
async fn an_instance_that_nobody_knows_is_stopped_and_removed_and_its_content_left() {
    let world = World::start().await;
    let node = FakeNode::new("n1");
    let unknown = "f".repeat(32);
    let status = InstanceStatus {
        id: unknown.clone(),
        workspace_id: "e".repeat(32),
        sequence: 5,
        phase: Phase::Running.into(),
        ..Default::default()
    };
    node.memory(|memory| memory.instances.insert(unknown.clone(), status));
    node.connect(&world).await;
    node.until("stop", |memory| memory.told.contains(&format!("stop {unknown}"))).await;
    node.connect(&world).await;
    node.until("removal", |memory| memory.told.contains(&format!("remove {unknown}"))).await;
}

#[tokio::test]
async fn a_silent_node_makes_its_workspaces_unknown_until_it_is_heard_again() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    node.disconnect();
    world.has_event("node.disconnected").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running, "within its lease");
    world.clock.advance(Duration::from_secs(31));
    world.until("app", |state| state.phase() == Phase::Unknown).await;
    world.has_event("node.lost").await;
    node.connect(&world).await;
    world.running("app").await;
}

#[tokio::test]
async fn a_node_is_believed_about_its_own_instances_only() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    let running = world.running("app").await;
    let thief = world.node("n2").await;
    thief
        .report(&running.instance_id, &running.id, |status| {
            status.set_phase(Phase::Stopped);
            status.sequence = 1000;
        })
        .await;
    thief.send(Up::Event(NodeEvent { kind: "test".into(), ..Default::default() })).await;
    world.has_event("node.event").await;
    assert_eq!(world.get("app").await.expect("get").phase(), Phase::Running);
}

#[tokio::test]
async fn a_newer_stream_of_a_node_takes_the_place_of_the_older() {
    let world = World::start().await;
    let older = world.node("n1").await;
    let newer = world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    assert_eq!((older.memory(|memory| memory.applied.len()), newer.memory(|memory| memory.applied.len())), (0, 1));
}

#[tokio::test]
async fn a_node_that_answers_no_tunnel_fails_the_command_in_time() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    node.disconnect();
    world.has_event("node.disconnected").await;
    let request = ListTerminalsRequest { workspace: "app".into() };
    let refused = world.people().await.list_terminals(request).await.expect_err("away");
    assert_eq!(detail(&refused).0, "unavailable", "{refused:?}");
}
