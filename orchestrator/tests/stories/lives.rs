//! A workspace's life as its owner drives it.

use api::v1::*;

use crate::world::{World, detail, request};

#[tokio::test]
async fn a_workspace_is_created_at_once_and_runs_when_its_node_says_so() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let created = world.create("app").await;
    assert_eq!((created.name.as_str(), created.id.len(), created.owner.as_str()), ("app", 32, "owner"));
    let running = world.running("app").await;
    assert_eq!(running.commit, "d".repeat(40));
    assert_eq!((running.branch.as_str(), running.node.as_str(), running.image.as_str()), ("main", "n1", "host"));
    assert_eq!(running.timeline.first().map(|step| step.name.as_str()), Some("resolve"));
    let spec = node.memory(|memory| memory.applied.remove(0));
    assert_eq!((spec.workspace_id, spec.working_directory.as_str()), (created.id, "/workspace/App"));
    assert_eq!(spec.edge_url_template, "http://{port}-app.localhost:7280");
    assert_eq!(spec.resources.expect("limits").memory_bytes, 3000, "a share of the node's");
}

#[tokio::test]
async fn the_same_request_twice_is_one_workspace() {
    let world = World::start().await;
    world.node("n1").await;
    let again = || CreateWorkspaceRequest { request_id: "r1".into(), ..request("") };
    let first = world.create_request(again()).await.expect("first");
    let second = world.create_request(again()).await.expect("second");
    assert_eq!(first.id, second.id);
    let other = CreateWorkspaceRequest { request_id: "r1".into(), ..request("other") };
    let refused = world.create_request(other).await.expect_err("other arguments");
    assert_eq!(detail(&refused).0, "already-exists");
    assert_eq!(
        world.people().await.list_workspaces(ListWorkspacesRequest::default()).await.expect("list").into_inner().workspaces.len(),
        1
    );
}

#[tokio::test]
async fn one_request_that_is_sent_many_times_at_once_is_done_once() {
    let world = World::start().await;
    world.node("n1").await;
    let create = || world.create_request(CreateWorkspaceRequest { request_id: "r1".into(), ..request("") });
    let created = futures::future::join_all((0..10).map(|_| create())).await;
    assert!(created.iter().all(|answer| answer.as_ref().is_ok_and(|one| one.name == "app")));
    world.running("app").await;
    let stop = async || {
        let request = StopWorkspaceRequest { workspace: "app".into(), request_id: "r2".into(), ..Default::default() };
        world.people().await.stop_workspace(request).await
    };
    let stopped = futures::future::join_all((0..10).map(|_| stop())).await;
    assert!(stopped.iter().all(Result::is_ok), "{stopped:?}");
    assert_eq!(world.events().await.iter().filter(|event| event.kind == "workspace.stopping").count(), 1);
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_with_one_that_is_free_and_made_names_are_numbered() {
    let world = World::start().await;
    assert_eq!(world.create("").await.name, "app");
    assert_eq!(world.create("").await.name, "app-2");
    let (class, hint) = detail(&world.create_request(request("app")).await.expect_err("taken"));
    assert_eq!(class, "already-exists");
    assert!(hint.contains("app-3"), "{hint}");
    for bad in ["Up", "-a", "a_b"] {
        assert_eq!(detail(&world.create_request(request(bad)).await.expect_err(bad)).0, "invalid-argument");
    }
}

#[tokio::test]
async fn a_workspace_is_found_by_name_id_or_the_beginning_of_one_and_nothing_else() {
    let world = World::start().await;
    let mut ids = Vec::new();
    // Of seventeen ids, two begin with the same digit.
    for number in 0..17 {
        ids.push(world.create(&format!("w{number}")).await.id);
    }
    assert_eq!(world.get(&ids[3][..12]).await.expect("prefix").name, "w3");
    assert_eq!(world.get(&ids[3]).await.expect("id").name, "w3");
    let shared =
        "0123456789abcdef".chars().find(|digit| ids.iter().filter(|id| id.starts_with(*digit)).count() > 1).expect("pigeonhole");
    assert_eq!(detail(&world.get(&shared.to_string()).await.expect_err("ambiguous")).0, "invalid-argument");
    let (class, hint) = detail(&world.get("nobody").await.expect_err("unknown"));
    assert_eq!(class, "not-found");
    assert!(hint.contains("crannog list"));
    assert_eq!(detail(&world.start_again("nobody").await.expect_err("unknown")).0, "not-found");
    assert_eq!(detail(&world.delete("nobody").await.expect_err("unknown")).0, "not-found");
}

#[tokio::test]
async fn stop_and_start_keep_the_workspace_and_look_into_the_repository_once() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let created = world.create("app").await;
    let first = world.running("app").await.instance_id;
    world.stop_workspace("app").await.expect("stop");
    let stopped = world.stopped("app").await;
    assert_eq!((stopped.conclusion(), stopped.conclusion_reason.as_str()), (Conclusion::Canceled, "owner asked for it"));
    assert_eq!(detail(&world.stop_workspace("app").await.expect_err("stopped")).0, "failed-precondition");
    world.start_again("app").await.expect("start");
    let second = world.running("app").await;
    assert_eq!(second.id, created.id);
    assert_ne!(second.instance_id, first);
    node.until("removal of the first instance", |memory| memory.told.contains(&format!("remove {first}"))).await;
    node.memory(|memory| {
        assert_eq!(memory.resolved.len(), 1);
        assert_eq!(
            memory.told,
            [
                format!("apply {first}"),
                format!("stop {first}"),
                format!("remove {first}"),
                format!("apply {}", second.instance_id)
            ]
        );
        assert!(!memory.applied[1].run_init, "init has run on this content");
    });
    assert_eq!(detail(&world.start_again("app").await.expect_err("runs")).0, "failed-precondition");
}

#[tokio::test]
async fn a_deleted_workspace_frees_its_name_and_is_forgotten_by_its_node() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let created = world.create("app").await;
    let instance = world.running("app").await.instance_id;
    world.delete("app").await.expect("delete");
    assert_eq!(detail(&world.get("app").await.expect_err("gone")).0, "not-found");
    node.until("forgetting", |memory| memory.told.contains(&format!("remove {instance} forget"))).await;
    world.has_event("workspace.forgotten").await;
    node.memory(|memory| {
        assert_eq!(memory.told, [format!("apply {instance}"), format!("stop {instance}"), format!("remove {instance} forget")])
    });
    assert_ne!(world.create("app").await.id, created.id);
    let all =
        world.people().await.list_workspaces(ListWorkspacesRequest { with_deleted: true }).await.expect("list").into_inner();
    assert_eq!(all.workspaces.iter().filter(|workspace| workspace.deleted).count(), 1);
}

#[tokio::test]
async fn a_deletion_answers_when_nothing_is_left_and_at_once_when_its_node_is_away() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let instance = world.running("app").await.instance_id;
    node.obedient.store(false, std::sync::atomic::Ordering::SeqCst);
    let mut deleting = Box::pin(world.delete("app"));
    tokio::select! {
        _ = &mut deleting => panic!("answered while the instance still runs"),
        () = node.until("stop", |memory| memory.told.contains(&format!("stop {instance}"))) => {}
    }
    node.report(&instance, "", |status| status.set_phase(Phase::Stopped)).await;
    deleting.await.expect("deleted");
    assert!(node.memory(|memory| memory.told.contains(&format!("remove {instance} forget"))));
    node.obedient.store(true, std::sync::atomic::Ordering::SeqCst);
    world.create("second").await;
    world.running("second").await;
    node.disconnect();
    world.has_event("node.disconnected").await;
    world.delete("second").await.expect("noted");
    node.connect(&world).await;
    node.until("forgetting", |memory| memory.told.iter().filter(|told| told.ends_with("forget")).count() == 2).await;
}

#[tokio::test]
async fn a_stop_that_is_lost_with_the_nodes_stream_is_asked_again() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    node.disconnect();
    world.stop_workspace("app").await.expect("noted");
    node.connect(&world).await;
    world.stopped("app").await;
}

#[tokio::test]
async fn an_instance_that_ended_by_itself_is_not_begun_again() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let instance = world.running("app").await.instance_id;
    node.report(&instance, "", |status| {
        status.set_phase(Phase::Stopped);
        status.set_conclusion(Conclusion::Failed);
        status.conclusion_reason = "PID 1 ended".into();
    })
    .await;
    assert_eq!(world.stopped("app").await.conclusion(), Conclusion::Failed);
    node.memory(|memory| memory.instances.clear());
    node.connect(&world).await;
    world.start_again("app").await.expect("start");
    world.running("app").await;
    node.memory(|memory| assert_eq!(memory.applied.len(), 2, "the first start, and the one that was asked for"));
}

#[tokio::test]
async fn a_restart_of_the_orchestrator_keeps_everything() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let before = world.running("app").await;
    world.create_request(CreateWorkspaceRequest { request_id: "r9".into(), ..request("second") }).await.expect("create");
    let second = world.running("second").await;
    let (owner, events) = (world.tokens.owner.clone(), world.events().await);
    node.disconnect();
    let world = world.restarted().await;
    assert!(owner == world.tokens.owner, "tokens are made once");
    let after = world.get("app").await.expect("still there");
    assert_eq!(
        (after.id, after.phase, after.commit, after.timeline.len()),
        (before.id, before.phase, before.commit, before.timeline.len())
    );
    let again =
        world.create_request(CreateWorkspaceRequest { request_id: "r9".into(), ..request("second") }).await.expect("same");
    assert_eq!(again.id, second.id);
    assert!(world.events().await.starts_with(&events[..events.len() - 1]));
    node.connect(&world).await;
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    node.memory(|memory| assert_eq!(memory.applied.len(), 2, "nothing was applied again"));
}

#[tokio::test]
async fn a_watcher_sees_every_last_state_up_to_the_deletion() {
    let world = World::start().await;
    world.node("n1").await;
    let mut states = world.people().await.watch_workspaces(WatchWorkspacesRequest::default()).await.expect("watch").into_inner();
    world.create("app").await;
    world.running("app").await;
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    world.delete("app").await.expect("delete");
    let (mut revision, mut running) = (0, false);
    loop {
        let state = states.message().await.expect("state").expect("it goes on");
        assert!(state.revision > revision, "states come in order");
        revision = state.revision;
        running |= state.phase() == Phase::Running;
        if state.deleted {
            break;
        }
    }
    assert!(running || revision > 5);
}

#[tokio::test]
async fn events_come_in_order_and_can_be_followed_from_any_number() {
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let all = world.events().await;
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    let kinds: Vec<&str> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["node.connected", "workspace.created", "workspace.resolved", "instance.phase"]);
    let request = EventsRequest { workspace: "app".into(), follow: true, after: all[1].number };
    let mut rest = world.people().await.events(request).await.expect("events").into_inner();
    world.stop_workspace("app").await.expect("stop");
    let mut followed = Vec::new();
    while followed.len() < 4 {
        followed.push(rest.message().await.expect("event").expect("it goes on").kind);
    }
    assert_eq!(followed, ["workspace.resolved", "instance.phase", "workspace.stopping", "instance.phase"]);
}

#[tokio::test]
async fn two_who_delete_and_stop_at_once_leave_one_legal_end() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let instance = world.running("app").await.instance_id;
    let all =
        futures::future::join_all(
            (0..20).map(|number| {
                let world = &world;
                async move {
                    if number % 2 == 0 { world.delete("app").await.is_ok() } else { world.stop_workspace("app").await.is_ok() }
                }
            }),
        );
    assert!(all.await.into_iter().any(|done| done));
    node.until("forgetting", |memory| memory.told.contains(&format!("remove {instance} forget"))).await;
    assert_eq!(detail(&world.get("app").await.expect_err("gone")).0, "not-found");
}
