//! What a repository asks for, and what comes of one that cannot be had.

use api::v1::*;

use crate::fake_node::Resolving;
use crate::world::{World, detail, request};

fn failure(class: &str, message: &str) -> Resolving {
    let detail = ErrorDetail {
        class: class.into(),
        reason: "BranchNotFound".into(),
        message: message.into(),
        hint: "look at its branches".into(),
    };
    Resolving::Fail(daemon_kit::status::from_detail(&detail))
}

fn condition<'a>(workspace: &'a Workspace, kind: &str) -> &'a Condition {
    workspace.conditions.iter().find(|condition| condition.r#type == kind).unwrap_or_else(|| panic!("no {kind} in {workspace:?}"))
}

#[tokio::test]
async fn a_repositorys_tasks_ports_and_image_are_honoured() {
    let world = World::start().await;
    let node = world.node("n1").await;
    node.config_file("image: docker.io/library/debian:12\ntasks:\n- init: make\n  command: serve\nports:\n- port: 3000\n  visibility: public\nworkspaceLocation: App/sub\ntypo: 1\ngitConfig:\n  pull.rebase: true\n");
    let env = vec![EnvVar { name: "A".into(), value: "b".into() }];
    world.create_request(CreateWorkspaceRequest { env: env.clone(), ..request("app") }).await.expect("create");
    let running = world.running("app").await;
    let spec = node.memory(|memory| memory.applied.remove(0));
    assert_eq!(spec.git_config, [GitSetting { key: "pull.rebase".into(), value: "true".into() }]);
    assert_eq!((spec.image.as_str(), spec.tasks.len(), spec.tasks[0].init.as_str()), ("docker.io/library/debian:12", 1, "make"));
    assert_eq!((spec.ports[0].first, spec.ports[0].visibility()), (3000, Visibility::Public));
    assert_eq!((spec.working_directory.as_str(), spec.env), ("/workspace/App/sub", env));
    assert!(
        running.warnings.iter().any(|warning| warning.starts_with(".gitpod.yml:") && warning.contains("typo")),
        "{:?}",
        running.warnings
    );
    assert!(running.ports.iter().any(|port| port.port == 3000 && port.url == "http://3000-app.localhost:7280"));
}

#[tokio::test]
async fn what_the_owner_asks_for_goes_before_what_the_repository_names() {
    let world = World::start().await;
    let node = world.node("n1").await;
    node.config_file("image:\n  file: .gitpod.Dockerfile\n");
    world.create_request(CreateWorkspaceRequest { image: "host".into(), ..request("app") }).await.expect("create");
    world.running("app").await;
    assert_eq!(node.memory(|memory| memory.applied.remove(0)).image, "host");
}

#[tokio::test]
async fn an_image_that_cannot_be_had_fails_the_start_and_says_image_host() {
    let world = World::start().await;
    let node = world.node("n1").await;
    node.config_file("image:\n  file: .gitpod.Dockerfile\n");
    world.create("app").await;
    let failed = world.stopped("app").await;
    let condition = condition(&failed, "ImageReady");
    assert!(condition.hint.contains("--image host") && condition.class == "unimplemented", "{condition:?}");
    assert_eq!(failed.conclusion(), Conclusion::Failed);
    assert!(node.memory(|memory| memory.applied.is_empty()));
}

#[tokio::test]
async fn an_ill_configuration_starts_the_workspace_all_the_same_and_is_shown() {
    let world = World::start().await;
    let node = world.node("n1").await;
    node.config_file("tasks: [\n");
    world.create("app").await;
    let running = world.running("app").await;
    let condition = condition(&running, "ConfigValid");
    assert_eq!((condition.status(), condition.class.as_str()), (condition::Status::False, "invalid-argument"));
    assert!(condition.message.starts_with(".gitpod.yml:"), "{}", condition.message);
}

#[tokio::test]
async fn a_branch_that_does_not_exist_stops_the_start_with_its_reason_and_leaves_nothing_behind() {
    let world = World::start().await;
    let node = world.node("n1").await;
    *node.resolving.lock().expect("lock") = failure("not-found", "no branch \"nope\"");
    world.create("app").await;
    let failed = world.stopped("app").await;
    let condition = condition(&failed, "ContentReady");
    assert_eq!((condition.class.as_str(), condition.message.as_str()), ("not-found", "no branch \"nope\""));
    assert_eq!((condition.hint.as_str(), condition.reason.as_str()), ("look at its branches", "BranchNotFound"));
    assert_eq!((failed.conclusion(), failed.timeline[0].error.as_str()), (Conclusion::Failed, "no branch \"nope\""));
    assert!(node.memory(|memory| memory.applied.is_empty()));
    // It can be tried again, and deleted.
    *node.resolving.lock().expect("lock") = Resolving::Answer(ResolveResponse { commit: "e".repeat(40), ..Default::default() });
    world.start_again("app").await.expect("start");
    world.running("app").await;
    world.delete("app").await.expect("delete");
}

#[tokio::test]
async fn a_hostile_source_is_refused_before_anything_is_stored() {
    let world = World::start().await;
    for url in ["ext::sh -c id", "file:///etc", "--upload-pack=id", "https://", ""] {
        let source = Some(Source { url: url.into(), ..Default::default() });
        let refused = world.create_request(CreateWorkspaceRequest { source, ..request("app") }).await.expect_err(url);
        assert_eq!(detail(&refused).0, "invalid-argument", "{url}");
    }
    let env = vec![EnvVar { name: "A=B".into(), value: String::new() }];
    assert_eq!(
        detail(&world.create_request(CreateWorkspaceRequest { env, ..request("app") }).await.expect_err("env")).0,
        "invalid-argument"
    );
    let class = CreateWorkspaceRequest { class: "huge".into(), ..request("app") };
    assert_eq!(detail(&world.create_request(class).await.expect_err("class")).0, "invalid-argument");
    assert!(world.events().await.is_empty());
}

#[tokio::test]
async fn credentials_in_a_url_are_neither_stored_nor_shown() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let source = Some(Source { url: "https://me:hunter2@git.example.org/team/app.git".into(), ..Default::default() });
    world.create_request(CreateWorkspaceRequest { source, ..request("app") }).await.expect("create");
    let running = world.running("app").await;
    assert!(!format!("{running:?}").contains("hunter2"));
    assert!(node.memory(|memory| !format!("{:?} {:?}", memory.resolved, memory.applied).contains("hunter2")));
    assert!(running.warnings.iter().any(|warning| warning.contains("credentials")));
    world.stop().await;
    for file in std::fs::read_dir(&world.config.data).expect("data").flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("read");
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_start_that_is_being_resolved_can_be_stopped_and_deleted() {
    let world = World::start().await;
    let node = world.node("n1").await;
    *node.resolving.lock().expect("lock") = Resolving::Stall;
    world.create("app").await;
    node.until("question", |memory| !memory.resolved.is_empty()).await;
    let stopped = world.stop_workspace("app").await.expect("stop");
    assert_eq!((stopped.phase(), stopped.conclusion()), (Phase::Stopped, Conclusion::Canceled));
    world.delete("app").await.expect("delete");
    assert!(node.memory(|memory| memory.applied.is_empty()));
}

#[tokio::test]
async fn a_start_goes_on_after_the_orchestrator_was_killed_while_it_resolved() {
    let world = World::start().await;
    let node = world.node("n1").await;
    *node.resolving.lock().expect("lock") = Resolving::Stall;
    world.create("app").await;
    node.until("question", |memory| !memory.resolved.is_empty()).await;
    let world = world.restarted().await;
    *node.resolving.lock().expect("lock") = Resolving::Answer(ResolveResponse { commit: "e".repeat(40), ..Default::default() });
    node.connect(&world).await;
    world.running("app").await;
}
