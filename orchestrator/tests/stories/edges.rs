//! What an edge is told, and how a browser is let in.

use std::time::Duration;

use api::v1::*;

use crate::world::World;

async fn next(updates: &mut tonic::Streaming<RouteUpdate>) -> route_update::Update {
    updates.message().await.expect("update").expect("it goes on").update.expect("one of them")
}

async fn route(updates: &mut tonic::Streaming<RouteUpdate>, wanted: impl Fn(&Route) -> bool) -> Route {
    loop {
        if let route_update::Update::Route(route) = next(updates).await
            && wanted(&route)
        {
            return route;
        }
    }
}

async fn set(world: &World, port: u32, visibility: Visibility) -> Workspace {
    let request = SetWorkspacePortRequest { workspace: "app".into(), port, visibility: visibility.into(), ..Default::default() };
    world.people().await.set_port_visibility(request).await.expect("set").into_inner()
}

fn is_public(route: &Route, port: u32) -> bool {
    route.ports.iter().any(|status| status.port == port && status.visibility() == Visibility::Public)
}

#[tokio::test]
async fn an_edge_gets_the_whole_table_then_changes_and_each_opening_is_a_new_generation() {
    let world = World::start().await;
    let node = world.node("n1").await;
    world.create("app").await;
    let running = world.running("app").await;
    let mut updates = world.edge().await.watch_routes(WatchRoutesRequest::default()).await.expect("watch").into_inner();
    let route_update::Update::Route(first) = next(&mut updates).await else { panic!("no route") };
    assert_eq!((first.name.as_str(), first.dial_socket.as_str(), first.phase()), ("app", "/run/dial.sock", Phase::Running));
    assert_eq!(next(&mut updates).await, route_update::Update::Synced(true));
    // What the instance says of itself does not count.
    node.report(&running.instance_id, "", |status| {
        status.ports = vec![PortStatus { port: 3000, served: true, visibility: Visibility::Public.into(), ..Default::default() }];
    })
    .await;
    let served = route(&mut updates, |route| route.ports.iter().any(|port| port.served)).await;
    assert!(!is_public(&served, 3000));
    assert_eq!(served.generation, first.generation, "nothing else is let through");
    set(&world, 3000, Visibility::Public).await;
    let public = route(&mut updates, |route| is_public(route, 3000)).await;
    assert!(public.generation > served.generation);
    node.until("the port", |memory| memory.told.contains(&"port 3000 2".to_owned())).await;
    set(&world, 3000, Visibility::Private).await;
    let private = route(&mut updates, |route| !is_public(route, 3000)).await;
    assert!(private.generation > public.generation);
    world.delete("app").await.expect("delete");
    loop {
        if next(&mut updates).await == route_update::Update::Removed(running.id.clone()) {
            break;
        }
    }
}

#[tokio::test]
async fn what_the_owner_made_public_is_public_after_the_next_start() {
    let world = World::start().await;
    let node = world.node("n1").await;
    node.config_file("ports:\n- port: 3000\n  name: web\n");
    world.create("app").await;
    world.running("app").await;
    assert!(set(&world, 3000, Visibility::Public).await.ports.iter().any(|port| port.visibility() == Visibility::Public));
    world.stop_workspace("app").await.expect("stop");
    world.stopped("app").await;
    let world = world.restarted().await;
    node.connect(&world).await;
    world.start_again("app").await.expect("start");
    let running = world.running("app").await;
    assert!(running.ports.iter().any(|port| port.port == 3000 && port.visibility() == Visibility::Public));
    let rule = node.memory(|memory| memory.applied[1].ports[0].clone());
    assert_eq!((rule.visibility(), rule.name.as_str()), (Visibility::Public, "web"));
}

async fn code(world: &World) -> (String, CreatePortLinkResponse) {
    let request = CreatePortLinkRequest { workspace: "app".into(), port: 3000 };
    let link = world.people().await.create_port_link(request).await.expect("link").into_inner();
    let (before, code) = link.url.split_once("?code=").expect("a code");
    assert_eq!(before, "http://3000-app.localhost:7280/_crannog/login");
    (code.to_owned(), link)
}

async fn redeem(world: &World, code: &str, workspace_id: &str) -> Session {
    let request = RedeemCodeRequest { code: code.into(), workspace_id: workspace_id.into() };
    world.edge().await.redeem_code(request).await.expect("redeem").into_inner()
}

async fn check(world: &World, token: &str, workspace_id: &str) -> bool {
    let token_hash = daemon_kit::secret::TokenHash::of(token).to_hex();
    let request = CheckSessionRequest { token_hash, workspace_id: workspace_id.into() };
    world.edge().await.check_session(request).await.expect("check").into_inner().valid
}

#[tokio::test]
async fn a_link_lets_one_browser_into_one_workspace_once() {
    let world = World::start().await;
    let id = world.create("app").await.id;
    let other = world.create("other").await.id;
    let (good, link) = code(&world).await;
    assert_eq!((link.plain_url.as_str(), link.public), ("http://3000-app.localhost:7280", false));
    let session = redeem(&world, &good, &id).await;
    assert!(session.valid && check(&world, &session.token, &id).await);
    assert!(!check(&world, &session.token, &other).await, "a session is for its workspace");
    assert!(!redeem(&world, &good, &id).await.valid, "a code is good once");
    let (wrong_place, _) = code(&world).await;
    assert!(!redeem(&world, &wrong_place, &other).await.valid);
    assert!(!redeem(&world, &wrong_place, &id).await.valid, "it was used up");
    assert!(!redeem(&world, "guess", &id).await.valid);
    let world = world.restarted().await;
    assert!(check(&world, &session.token, &id).await, "sessions outlive the process");
    world.delete("app").await.expect("delete");
    assert!(!check(&world, &session.token, &id).await);
}

#[tokio::test]
async fn links_and_sessions_end() {
    let world = World::start().await;
    let id = world.create("app").await.id;
    let (late, _) = code(&world).await;
    world.clock.advance(Duration::from_secs(301));
    assert!(!redeem(&world, &late, &id).await.valid);
    let (good, _) = code(&world).await;
    let session = redeem(&world, &good, &id).await;
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert!(!check(&world, &session.token, &id).await);
}
