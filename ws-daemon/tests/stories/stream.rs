//! The node stream: what is told, what is done, and what happens when the line breaks.

use std::collections::HashMap;

use api::v1::orchestrator_message::Message as Down;
use api::v1::*;
use sha2::{Digest as _, Sha256};

use super::support::*;

#[tokio::test]
async fn a_node_says_who_it_is_what_it_has_and_does_what_it_is_told() {
    let mut orchestrator = Orchestrator::new().await;
    let _node = TestNode::of(&orchestrator.address).await;
    let mut session = orchestrator.session().await;
    assert_eq!(session.authorization, "Bearer node-token");
    let hello = session.hello().await;
    assert_eq!((hello.protocol, hello.token.as_str()), (1, "node-token"));
    assert!(hello.dial_socket.ends_with("node/dial.sock"));
    session.welcome(false).await;
    assert!(session.inventory().await.1.instances.is_empty());

    let spec = spec('a', '1');
    session.send(1, 0, Down::Apply(spec.clone())).await;
    session.ack(1).await;
    session.status(&spec.id, Phase::Running).await;
    session.send(2, 0, Down::Stop(stop(&spec))).await;
    session.status(&spec.id, Phase::Stopped).await;
    session.send(3, 0, Down::Remove(remove(&spec, true))).await;
    session.status(&spec.id, Phase::Removed).await;
}

#[tokio::test]
async fn a_broken_line_is_taken_up_again_and_nothing_is_done_twice() {
    let mut orchestrator = Orchestrator::new().await;
    let node = TestNode::of(&orchestrator.address).await;
    let mut session = orchestrator.greeted().await;
    let spec = spec('a', '1');
    session.send(1, 0, Down::Apply(spec.clone())).await;
    session.status(&spec.id, Phase::Running).await;
    drop(session);

    let mut session = orchestrator.session().await;
    session.hello().await;
    session.welcome(true).await;
    // What was not acknowledged comes again, with its old number, before the inventory.
    let again = session.status(&spec.id, Phase::Running).await;
    let (number, inventory) = session.inventory().await;
    assert!(again < number);
    assert_eq!(inventory.instances.iter().map(|status| status.id.as_str()).collect::<Vec<_>>(), [&spec.id]);

    let calls = node.machine.calls().len();
    session.send(1, number, Down::Apply(spec.clone())).await;
    session.send(1, number, Down::Apply(spec.clone())).await;
    session.ack(1).await;
    assert_eq!(node.machine.calls().len(), calls, "an old command is not carried out again");
    // A later number before an earlier one: both are done.
    let other = InstanceSpec { id: "b".repeat(32), workspace_id: "2".repeat(32), ..spec.clone() };
    session.send(3, number, Down::Apply(other.clone())).await;
    session.send(2, number, Down::Stop(stop(&spec))).await;
    session.ack(3).await;
    node.until_phase(&other.id, Phase::Running).await;
    node.until_phase(&spec.id, Phase::Stopped).await;
}

#[tokio::test]
async fn an_orchestrator_that_begins_anew_gets_everything_from_the_inventory() {
    let mut orchestrator = Orchestrator::new().await;
    let node = TestNode::of(&orchestrator.address).await;
    let mut session = orchestrator.greeted().await;
    let spec = spec('a', '1');
    session.send(1, 0, Down::Apply(spec.clone())).await;
    session.status(&spec.id, Phase::Running).await;
    drop(session);

    let mut session = orchestrator.session().await;
    session.hello().await;
    session.welcome(false).await;
    let (number, inventory) = session.inventory().await;
    assert_eq!((number, inventory.instances.len()), (1, 1));
    // Its numbers begin from 1, too, and are new.
    session.send(1, 0, Down::Stop(stop(&spec))).await;
    session.status(&spec.id, Phase::Stopped).await;
    drop(node);
}

#[tokio::test]
async fn instances_go_on_without_an_orchestrator_and_what_happened_is_told_afterwards() {
    let mut orchestrator = Orchestrator::new().await;
    let node = TestNode::of(&orchestrator.address).await;
    let mut session = orchestrator.greeted().await;
    let spec = spec('a', '1');
    session.send(1, 0, Down::Apply(spec.clone())).await;
    session.status(&spec.id, Phase::Running).await;
    drop(session);
    node.machine.end(&spec.id);
    node.until_phase(&spec.id, Phase::Stopped).await;
    let mut session = orchestrator.session().await;
    session.hello().await;
    session.welcome(true).await;
    let (_, inventory) = session.inventory().await;
    assert_eq!(inventory.instances.iter().map(InstanceStatus::phase).collect::<Vec<_>>(), [Phase::Stopped]);
}

#[tokio::test]
async fn a_spec_that_cannot_be_taken_is_answered_with_the_reason() {
    let mut orchestrator = Orchestrator::new().await;
    let _node = TestNode::of(&orchestrator.address).await;
    let mut session = orchestrator.greeted().await;
    let bad = InstanceSpec { image: String::new(), ..spec('a', '1') };
    session.send(1, 0, Down::Apply(bad.clone())).await;
    session.status(&bad.id, Phase::Stopped).await;
    session.ack(1).await;
}

fn with_bundle(digest: &str) -> InstanceSpec {
    let git = GitSource { bundle_digest: digest.into(), ..GitSource::default() };
    InstanceSpec { content: Some(ContentSpec { initial: Some(content_spec::Initial::Git(git)) }), ..spec('a', '1') }
}

#[tokio::test]
async fn an_uploaded_source_is_fetched_verified_shown_inside_and_dropped_when_the_content_is_ready() {
    let bundle = b"a bundle".repeat(1_000);
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bundle)));
    let orchestrator = Orchestrator::with_sources(HashMap::from([(digest.clone(), bundle)])).await;
    let node = TestNode::of(&orchestrator.address).await;
    let status = node.running(&with_bundle(&digest)).await;
    let step = status.timeline.iter().find(|step| step.name == "source").expect("a step");
    assert_eq!((step.bytes, step.total_bytes), (8_000, 8_000));
    assert_eq!(node.machine.configs()[0].bundle_path, "/.crannog/source.bundle");
    let sources = node.data().join("node/sources");
    // A second workspace of the same bundle has its own file of it, whenever the first lets go of the source.
    let second = InstanceSpec { id: "b".repeat(32), workspace_id: "2".repeat(32), ..with_bundle(&digest) };
    node.running(&second).await;
    for id in ["a".repeat(32), second.id] {
        let shown = node.data().join("node/instances").join(id).join("source.bundle");
        assert_eq!(std::fs::metadata(shown).expect("shown").len(), 8_000);
    }
    within(async {
        while std::fs::read_dir(&sources).expect("sources").next().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_source_that_arrives_damaged_ends_the_start() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let orchestrator = Orchestrator::with_sources(HashMap::from([(digest.clone(), b"something else".to_vec())])).await;
    let node = TestNode::of(&orchestrator.address).await;
    let spec = with_bundle(&digest);
    node.instances.apply(spec.clone()).await.expect("applied");
    let status = node.until_phase(&spec.id, Phase::Stopped).await;
    assert_eq!(condition(&status, "ContentReady").reason, "SourceDigestWrong");
    node.until_nothing_is_left().await;
}
