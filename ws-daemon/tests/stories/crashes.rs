//! A daemon that dies at any moment is found to have lost nothing and left nothing.

use api::v1::*;

use super::support::*;

#[tokio::test]
async fn a_restart_of_the_daemon_finds_the_running_instance_and_goes_on() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    let before = node.running(&spec).await;
    let node = node.restart().await;
    let after = node.until_phase(&spec.id, Phase::Running).await;
    assert!(after.sequence > before.sequence, "{} after {}", after.sequence, before.sequence);
    assert_eq!(node.machine.calls().iter().filter(|call| call.starts_with("start")).count(), 1);
    let content = ContentStatus { ready: true, commit: "0ff1ce".into(), ..ContentStatus::default() };
    let state = SupervisorState { content: Some(content), ..SupervisorState::default() };
    node.machine.supervisor(&spec.id).expect("supervisor").say(state);
    node.until(&spec.id, |status| status.content.as_ref().is_some_and(|content| content.commit == "0ff1ce")).await;
    node.stop(&spec).await;
    node.until_phase(&spec.id, Phase::Stopped).await;
}

#[tokio::test]
async fn what_ended_while_the_daemon_was_away_is_stopped_when_it_is_back() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    let machine = node.machine.clone();
    let id = spec.id.clone();
    let node = {
        let restarted = node.restart();
        machine.end(&id);
        restarted.await
    };
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    assert_eq!(status.conclusion(), Conclusion::Failed);
    node.until_nothing_is_left().await;
}

#[tokio::test]
async fn what_nobody_knows_is_taken_away_and_what_workspaces_keep_is_not() {
    let node = TestNode::new().await;
    let kept = spec('a', '1');
    node.running(&kept).await;
    std::fs::write(node.upper(&kept.workspace_id).join("file"), "mine").expect("write");
    let stranger = spec('f', '2');
    node.running(&stranger).await;
    node.instances.world().store.delete_instance(&stranger.id).expect("a stranger");
    let node = node.restart().await;
    node.until_phase(&kept.id, Phase::Running).await;
    assert_eq!(node.machine.left(), [kept.id]);
    assert!(node.upper(&stranger.workspace_id).exists(), "what a workspace wrote outlives a lost row");
    assert_eq!(std::fs::read_to_string(node.upper(&kept.workspace_id).join("file")).expect("kept"), "mine");
}

/// One life, as an orchestrator drives it: asks again until the node has it.
async fn drive(node: &TestNode, spec: &InstanceSpec) {
    let running = node.running(spec).await;
    assert!(running.content.is_some_and(|content| content.ready));
    std::fs::write(node.upper(&spec.workspace_id).join("file"), "mine").expect("write");
    node.stop(spec).await;
    node.until_phase(&spec.id, Phase::Stopped).await;
}

/// Goes on with a life after a crash, from wherever it is.
async fn finish(node: &TestNode, spec: &InstanceSpec) {
    if node.instances.status(&spec.id).is_none_or(|status| status.conclusion == 0) {
        node.instances.apply(spec.clone()).await.expect("applied");
        node.until(&spec.id, |status| {
            matches!(status.phase(), Phase::Running | Phase::Stopping | Phase::Storing | Phase::Stopped)
        })
        .await;
        node.stop(spec).await;
    }
    node.until_phase(&spec.id, Phase::Stopped).await;
    node.until_nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_lost_after_any_write_of_a_life_loses_no_content_and_leaves_nothing() {
    let mut writes = 0;
    loop {
        let node = TestNode::new().await;
        let spec = spec('a', '1');
        let store = node.instances.world().store.clone();
        store.fuse().blow_after(writes);
        let blown = async {
            while !store.fuse().is_blown() {
                tokio::task::yield_now().await;
            }
        };
        let whole = tokio::select! {
            () = within(drive(&node, &spec)) => true,
            () = blown => false,
        };
        let was_written = node.upper(&spec.workspace_id).join("file").exists();
        drop(store);
        let node = within(node.restart()).await;
        finish(&node, &spec).await;
        assert_eq!(node.upper(&spec.workspace_id).join("file").exists(), was_written, "after {writes} writes");
        let owners = node.instances.world().ledger.owners().expect("owners");
        assert!(owners.len() <= 1, "{owners:?}");
        node.remove(&spec, true).await;
        node.until_phase(&spec.id, Phase::Removed).await;
        if whole {
            break;
        }
        writes += 1;
    }
    assert!(writes >= 6, "a life has more writes than {writes}");
}
