//! From a spec to a running instance, to a stop, to nothing.

use api::v1::condition::Status;
use api::v1::*;
use domain::class::Class;
use ws_daemon::error::NodeError;
use ws_daemon::fakes::{Script, no_such_image};

use super::support::*;

fn broken() -> NodeError {
    NodeError::refused(Class::Internal, "Broken", "broken in a test", "mend it")
}

#[tokio::test]
async fn a_spec_becomes_a_running_instance_with_a_waterfall() {
    let node = TestNode::new().await;
    let status = node.running(&spec('a', '1')).await;
    for kind in ["ImageReady", "NetworkReady", "SandboxReady", "ContentReady", "Ready"] {
        assert_eq!(condition(&status, kind).status(), Status::True, "{kind}");
    }
    for name in ["image", "content", "network", "rootfs", "runtime", "supervisor"] {
        let step = status.timeline.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}"));
        assert!(step.ended_unix_us >= step.started_unix_us && step.started_unix_us > 0 && step.error.is_empty(), "{step:?}");
    }
}

#[tokio::test]
async fn the_same_spec_a_hundred_times_makes_one_container() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    let calls = node.machine.calls().len();
    for _ in 0..100 {
        node.instances.apply(spec.clone()).await.expect("applied");
    }
    assert_eq!(node.machine.calls().len(), calls, "{:?}", node.machine.calls());
}

#[tokio::test]
async fn a_stop_keeps_what_was_written_and_the_next_start_neither_clones_nor_runs_init_again() {
    let node = TestNode::new().await;
    let first = spec('a', '1');
    node.running(&first).await;
    let ready = ContentStatus { ready: true, init_done: true, ..ContentStatus::default() };
    let said = SupervisorState { content: Some(ready), ..SupervisorState::default() };
    node.machine.supervisor(&first.id).expect("supervisor").say(said);
    node.until(&first.id, |status| status.content.as_ref().is_some_and(|content| content.init_done)).await;
    std::fs::write(node.upper(&first.workspace_id).join("file"), "mine").expect("write");
    node.stop(&first).await;
    let status = node.until_phase(&first.id, Phase::Stopped).await;
    assert_eq!((status.conclusion(), status.conclusion_reason.as_str()), (Conclusion::Canceled, "asked in a test"));
    assert_eq!(condition(&status, "ContentKept").status(), Status::True);
    node.until_nothing_is_left().await;

    node.running(&spec('b', '1')).await;
    let [before, after] = <[_; 2]>::try_from(node.machine.configs()).expect("two starts");
    assert_eq!((before.content_ready, before.run_init), (false, true));
    assert_eq!((after.content_ready, after.run_init), (true, false));
    assert_eq!(std::fs::read_to_string(node.upper(&first.workspace_id).join("file")).expect("kept"), "mine");
}

#[tokio::test]
async fn a_stop_that_failed_can_be_tried_again() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.machine.script.lock().ignores_shutdown = true;
    node.running(&spec).await;
    node.machine.break_call("kill", broken);
    node.stop(&spec).await;
    let status = node.until(&spec.id, |status| condition(status, "SandboxReady").status() == Status::False).await;
    assert_eq!((status.phase(), condition(&status, "SandboxReady").hint.as_str()), (Phase::Stopping, "mend it"));
    node.machine.mend("kill");
    node.stop(&spec).await;
    node.until_phase(&spec.id, Phase::Stopped).await;
    assert!(node.machine.running().is_empty());
}

#[tokio::test]
async fn an_image_that_is_not_there_ends_the_start_with_a_hint_and_leaves_nothing() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.machine.break_call("image", no_such_image);
    node.instances.apply(spec.clone()).await.expect("applied");
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    let image = condition(&status, "ImageReady");
    assert_eq!((image.reason.as_str(), image.class.as_str()), ("ImageNotFound", "not-found"));
    assert_eq!(image.hint, "check the name of the image");
    assert_eq!(status.conclusion(), Conclusion::Failed);
    assert!(status.conclusion_reason.contains("app:latest"), "{}", status.conclusion_reason);
    assert!(status.timeline.iter().any(|step| step.name == "image" && !step.error.is_empty()));
    node.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_container_that_cannot_start_leaves_nothing_and_no_inner_cause_in_sight() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.machine.break_call("start", || NodeError::io("create the container")(std::io::Error::other("errno 5 in /secret/path")));
    node.instances.apply(spec.clone()).await.expect("applied");
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    let sandbox = condition(&status, "SandboxReady");
    assert_eq!(sandbox.class, "internal");
    assert!(!format!("{status:?}").contains("/secret/path"), "{sandbox:?}");
    node.until_nothing_is_left().await;
}

#[tokio::test]
async fn content_that_cannot_be_had_is_told_as_the_supervisor_says_it() {
    let node = TestNode::new().await;
    let content = ContentStatus {
        error_class: "not-found".into(),
        error: "there is no branch \"mian\"".into(),
        hint: "did you mean \"main\"?".into(),
        ..ContentStatus::default()
    };
    let state = SupervisorState { content: Some(content), ..SupervisorState::default() };
    *node.machine.script.lock() = Script { state: Some(state), ..Script::default() };
    let spec = spec('a', '1');
    node.instances.apply(spec.clone()).await.expect("applied");
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    let content = condition(&status, "ContentReady");
    assert_eq!((content.class.as_str(), content.hint.as_str()), ("not-found", "did you mean \"main\"?"));
    assert_eq!((status.conclusion(), status.conclusion_reason.as_str()), (Conclusion::Failed, "there is no branch \"mian\""));
    node.until_nothing_is_left().await;
}

#[tokio::test]
async fn when_pid_1_dies_the_instance_is_stopped_and_says_why() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    node.machine.end(&spec.id);
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    assert_eq!(status.conclusion(), Conclusion::Failed);
    assert_eq!(status.conclusion_reason, "PID 1 of the workspace ended without being asked");
    node.until_nothing_is_left().await;
}

#[tokio::test]
async fn out_of_memory_is_named() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    node.machine.set_usage(Usage { oom_kills: 1, ..Usage::default() });
    node.machine.end(&spec.id);
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    assert!(status.conclusion_reason.starts_with("out of memory"), "{}", status.conclusion_reason);
}

#[tokio::test]
async fn what_a_workspace_holds_on_the_disk_is_told_when_it_has_stopped_and_when_it_runs_again() {
    const WRITTEN: u64 = 1 << 20;
    let node = TestNode::new().await;
    let first = spec('a', '1');
    node.running(&first).await;
    std::fs::write(node.upper(&first.workspace_id).join("file"), vec![1; WRITTEN as usize]).expect("write");
    node.stop(&first).await;
    node.until_phase(&first.id, Phase::Stopped).await;
    node.until(&first.id, |status| status.usage.is_some_and(|usage| usage.disk_bytes >= WRITTEN)).await;

    let again = spec('b', '1');
    node.running(&again).await;
    node.until(&again.id, |status| status.usage.is_some_and(|usage| usage.disk_bytes >= WRITTEN)).await;
    node.machine.set_usage(Usage { memory_bytes: 7, ..Usage::default() });
    let status = node.until(&again.id, |status| status.usage.is_some_and(|usage| usage.memory_bytes == 7)).await;
    assert!(status.usage.is_some_and(|usage| usage.disk_bytes >= WRITTEN), "what the groups say takes nothing away");
}

#[tokio::test]
async fn a_maximum_lifetime_is_kept_without_an_orchestrator() {
    let node = TestNode::new().await;
    let lifecycle = Lifecycle { max_lifetime_ms: 300, ..Lifecycle::default() };
    let spec = InstanceSpec { lifecycle: Some(lifecycle), ..spec('a', '1') };
    node.instances.apply(spec.clone()).await.expect("applied");
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    assert_eq!(status.conclusion(), Conclusion::TimedOut);
}

#[tokio::test]
async fn a_prebuild_ends_with_its_tasks_and_a_failed_one_is_failed() {
    let node = TestNode::new().await;
    let task = |exit_code| TaskStatus {
        state: task_status::State::Closed.into(),
        stages: vec![StageResult { stage: "init".into(), exit_code, ..StageResult::default() }],
        ..TaskStatus::default()
    };
    for (digit, exit_code, expected) in [('a', 0, Conclusion::Succeeded), ('b', 3, Conclusion::Failed)] {
        let spec = InstanceSpec { kind: Kind::Prebuild.into(), ..spec(digit, digit) };
        let status = node.running(&spec).await;
        let done = SupervisorState { content: status.content, tasks: vec![task(exit_code)], ..SupervisorState::default() };
        node.machine.supervisor(&spec.id).expect("supervisor").say(done);
        assert_eq!(node.until_phase(&spec.id, Phase::Stopped).await.conclusion(), expected);
    }
}

#[tokio::test]
async fn a_running_workspace_that_is_to_be_forgotten_is_stopped_first_and_then_nothing_is_left_of_it() {
    let node = TestNode::new().await;
    let spec = spec('a', '1');
    node.running(&spec).await;
    node.remove(&spec, true).await;
    node.until_phase(&spec.id, Phase::Removed).await;
    node.until_nothing_is_left().await;
    assert!(!node.upper(&spec.workspace_id).exists());
    assert!(node.instances.world().ledger.owners().expect("owners").is_empty());
    within(node.instances.remove(remove(&spec, true))).await.expect("bears repeating");
}

#[tokio::test]
async fn the_next_instance_of_a_workspace_waits_until_the_one_before_has_let_go() {
    let node = TestNode::new().await;
    let (first, second) = (spec('a', '1'), spec('b', '1'));
    node.running(&first).await;
    node.instances.apply(second.clone()).await.expect("applied");
    node.until(&second.id, |status| status.timeline.iter().any(|step| step.name == "network" && step.ended_unix_us > 0)).await;
    assert_eq!(node.machine.running(), std::slice::from_ref(&first.id));
    node.stop(&first).await;
    node.until_phase(&second.id, Phase::Running).await;
    assert_eq!(node.machine.running(), [second.id]);
}

#[tokio::test]
async fn what_waits_can_be_stopped() {
    let node = TestNode::new().await;
    let (first, second) = (spec('a', '1'), spec('b', '1'));
    node.running(&first).await;
    node.instances.apply(second.clone()).await.expect("applied");
    node.until_phase(&second.id, Phase::Preparing).await;
    node.stop(&second).await;
    assert_eq!(node.until_phase(&second.id, Phase::Stopped).await.conclusion(), Conclusion::Canceled);
    assert_eq!(node.machine.running(), [first.id]);
}

#[tokio::test]
async fn a_spec_whose_id_is_a_path_is_refused() {
    let node = TestNode::new().await;
    let spec = InstanceSpec { id: "../../etc".into(), ..spec('a', '1') };
    let error = node.instances.apply(spec).await.expect_err("refused");
    assert!(matches!(error, NodeError::Refused { reason: "SpecMalformed", .. }));
}
