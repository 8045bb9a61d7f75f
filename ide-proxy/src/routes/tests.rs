//! The table under changes, and what a change does to those who are in.

use api::v1::route_update::Update;
use api::v1::{PortStatus, RouteUpdate};

use super::*;

fn route(id: &str, name: &str, instance: &str, generation: u64, public: &[u32]) -> RouteUpdate {
    let port = |port: &u32| PortStatus { port: *port, visibility: Visibility::Public.into(), ..Default::default() };
    RouteUpdate {
        update: Some(Update::Route(v1::Route {
            workspace_id: id.into(),
            name: name.into(),
            instance_id: instance.into(),
            phase: Phase::Running.into(),
            generation,
            ports: public.iter().map(port).collect(),
            ..Default::default()
        })),
    }
}

fn synced() -> RouteUpdate {
    RouteUpdate { update: Some(Update::Synced(true)) }
}

#[test]
fn what_a_new_table_does_not_name_is_gone_and_only_when_it_is_whole() {
    let routes = Routes::default();
    let mut feed = Feed::new(&routes);
    feed.take(route("1", "one", "a", 5, &[]));
    feed.take(route("2", "two", "b", 5, &[]));
    feed.take(synced());
    let mut feed = Feed::new(&routes);
    feed.take(route("2", "two", "b", 1, &[]));
    assert!(routes.named("one").is_some(), "half a table takes nothing away");
    feed.take(synced());
    assert!(routes.named("one").is_none());
    assert!(routes.of_instance("a").is_none());
    assert!(routes.named("two").is_some());
}

#[test]
fn an_older_generation_within_one_stream_is_ignored() {
    let routes = Routes::default();
    let mut feed = Feed::new(&routes);
    feed.take(route("1", "one", "a", 5, &[]));
    feed.take(synced());
    feed.take(route("1", "one", "a", 4, &[3000]));
    assert!(routes.named("one").is_some_and(|route| route.public(3000).is_none()), "an old word must not open a port");
}

#[test]
fn a_port_that_becomes_private_cancels_those_who_came_in_by_it_and_nobody_else() {
    let routes = Routes::default();
    let mut feed = Feed::new(&routes);
    feed.take(route("1", "one", "a", 1, &[3000, 8080]));
    let before = routes.named("one").expect("known");
    feed.take(route("1", "one", "a", 2, &[8080]));
    assert!(before.public(3000).expect("was public").is_cancelled());
    assert!(!before.public(8080).expect("was public").is_cancelled());
    assert!(!before.instance().is_cancelled(), "the owner stays in");
}

#[test]
fn a_new_instance_cancels_all_that_went_into_the_old_one() {
    let routes = Routes::default();
    let mut feed = Feed::new(&routes);
    feed.take(route("1", "one", "a", 1, &[3000]));
    let before = routes.named("one").expect("known");
    feed.take(route("1", "one", "b", 2, &[3000]));
    assert!(before.instance().is_cancelled());
    assert!(before.public(3000).expect("was public").is_cancelled());
    assert!(!routes.named("one").expect("known").instance().is_cancelled());
}

#[test]
fn a_name_that_went_on_to_another_workspace_stays_there_when_the_first_is_removed() {
    let routes = Routes::default();
    let mut feed = Feed::new(&routes);
    feed.take(route("1", "app", "a", 1, &[]));
    feed.take(route("2", "app", "b", 1, &[]));
    feed.take(RouteUpdate { update: Some(Update::Removed("1".into())) });
    assert_eq!(routes.named("app").expect("the second").workspace_id, "2");
}

#[test]
fn the_way_to_an_instance_is_kept_while_its_node_is_not_heard_of() {
    let routes = Routes::default();
    let with = |socket: &str, phase: Phase| {
        let mut update = route("1", "one", "a", 1, &[]);
        if let Some(Update::Route(route)) = &mut update.update {
            route.dial_socket = socket.to_owned();
            route.set_phase(phase);
        }
        update
    };
    Feed::new(&routes).take(with("/dial.sock", Phase::Running));
    Feed::new(&routes).take(with("", Phase::Unknown));
    let now = routes.named("one").expect("known");
    assert!(now.runs() && now.dial_socket == "/dial.sock", "{now:?}");
}
