//! A supervisor in the hands of its user.

use api::v1::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use ws_daemon::instances::bounds;

use super::support::*;

fn hostile_state() -> impl Strategy<Value = SupervisorState> {
    let text = || "\\PC{0,40}|[\\x00-\\x1f]{0,8}";
    let port = (any::<u32>(), text()).prop_map(|(port, name)| PortStatus { port, name, ..PortStatus::default() });
    let task = (text(), any::<i32>()).prop_map(|(id, state)| TaskStatus { id, state, ..TaskStatus::default() });
    let step = (text(), any::<i64>(), any::<i64>()).prop_map(|(name, started_unix_us, ended_unix_us)| Step {
        name,
        started_unix_us,
        ended_unix_us,
        ..Step::default()
    });
    let kind = prop_oneof![Just("ContentKept".to_owned()), Just("Ready".to_owned()), text().prop_map(String::from)];
    let condition = (kind, any::<i32>(), text()).prop_map(|(kind, status, message)| Condition {
        r#type: kind,
        status,
        message,
        ..Condition::default()
    });
    let content = proptest::option::of((any::<bool>(), text()).prop_map(|(ready, commit)| ContentStatus {
        ready,
        commit,
        ..ContentStatus::default()
    }));
    let many = 0..100_usize;
    (
        content,
        proptest::collection::vec(port, many.clone()),
        proptest::collection::vec(task, many.clone()),
        proptest::collection::vec(step, many.clone()),
        proptest::collection::vec(condition, many),
        any::<i64>(),
    )
        .prop_map(|(content, ports, tasks, timeline, conditions, last_activity_unix_ms)| SupervisorState {
            content,
            ports,
            tasks,
            timeline,
            conditions,
            last_activity_unix_ms,
            ..SupervisorState::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_state_is_too_hostile_to_be_bounded(state in hostile_state()) {
        let state = bounds::state(state, 1_000);
        prop_assert!(state.ports.len() <= 256 && state.tasks.len() <= 64 && state.timeline.len() <= 256);
        prop_assert!(state.conditions.iter().all(|one| one.r#type != "ContentKept"));
        prop_assert!(state.timeline.iter().all(|step| (0..=1_000_000).contains(&step.ended_unix_us)));
        prop_assert!(prost::Message::encoded_len(&state) < 4 << 20);
    }
}

#[tokio::test]
async fn a_supervisor_that_makes_things_up_harms_only_itself() {
    let node = TestNode::new().await;
    let (hostile, other) = (spec('a', '1'), spec('b', '2'));
    node.running(&hostile).await;
    node.running(&other).await;
    let supervisor = node.machine.supervisor(&hostile.id).expect("supervisor");
    let mut runner = TestRunner::deterministic();
    let states: Vec<_> = (0..4).map(|_| hostile_state().new_tree(&mut runner).expect("a state").current()).collect();
    for state in states.iter().cycle().take(2_000) {
        supervisor.say(state.clone());
    }
    node.until(&hostile.id, |status| !status.ports.is_empty() || !status.tasks.is_empty()).await;
    let status = node.instances.status(&hostile.id).expect("status");
    assert!(status.timeline.iter().filter(|step| step.name == "image").count() == 1, "our own steps stay ours");
    assert!(status.conditions.iter().all(|one| one.r#type != "ContentKept"), "nobody claims that content is kept");
    node.stop(&other).await;
    node.until_phase(&other.id, Phase::Stopped).await;
    node.stop(&hostile).await;
    node.until_phase(&hostile.id, Phase::Stopped).await;
}

#[tokio::test]
async fn a_supervisor_that_never_speaks_does_not_hold_the_stop_up() {
    let node = TestNode::new().await;
    *node.machine.script.lock() =
        ws_daemon::fakes::Script { state: Some(SupervisorState::default()), ignores_shutdown: true, ..Default::default() };
    let spec = spec('a', '1');
    node.instances.apply(spec.clone()).await.expect("applied");
    node.until_phase(&spec.id, Phase::Starting).await;
    node.stop(&spec).await;
    node.until_phase(&spec.id, Phase::Stopped).await;
    node.until_nothing_is_left().await;
}
