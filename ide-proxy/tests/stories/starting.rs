//! Workspaces that do not run, that start, and ports on which nothing listens.

use api::v1::{Phase, Step};

use crate::servers::Recorder;
use crate::world::{WORKSPACE, World, token_header};

const HOST: &str = "3000-app.localhost";

#[tokio::test]
async fn a_request_that_comes_while_the_workspace_starts_waits_and_passes() {
    let (world, recorder) = (World::new().await, Recorder::default());
    world.node.lead("i2", 3000, recorder.serve().await);
    world.orchestrator.change(WORKSPACE, |route| {
        route.set_phase(Phase::Starting);
        route.instance_id = "i2".to_owned();
    });
    world.settled().await;
    let mut client = world.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n\r\n", token_header())).await;
    world.settled().await;
    assert!(world.node.dialled().is_empty(), "nobody is dialled before the instance runs");
    world.orchestrator.change(WORKSPACE, |route| route.set_phase(Phase::Running));
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn a_browser_sees_the_start_step_by_step_and_comes_again_by_itself() {
    let world = World::with(&[("start.page_wait", "50ms"), ("start.wait", "50ms")]).await;
    let step = |name: &str, end, detail: &str| Step {
        name: name.into(),
        started_unix_us: 1,
        ended_unix_us: end,
        detail: detail.into(),
        ..Default::default()
    };
    world.orchestrator.change(WORKSPACE, |route| {
        route.set_phase(Phase::Preparing);
        route.timeline = vec![step("image", 500_001, "3 of 7 layers"), step("clone", 0, "")];
    });
    world.settled().await;
    let page = world.get(HOST, "/", &["Accept: text/html", &token_header()]).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("1")));
    let text = page.text();
    for part in ["http-equiv=\"refresh\" content=\"1\"", "3 of 7 layers", "0.5 s", "clone"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let plain = world.get(HOST, "/", &[&token_header()]).await;
    assert_eq!((plain.status, plain.header("content-type")), (503, Some("text/plain; charset=utf-8")));
    assert!(!world.get(HOST, "/", &["Accept: text/html"]).await.text().contains("3 of 7"), "a stranger sees no steps");
}

#[tokio::test]
async fn a_stopped_workspace_says_how_to_start_it() {
    let world = World::new().await;
    world.orchestrator.change(WORKSPACE, |route| {
        route.set_phase(Phase::Stopped);
        route.instance_id.clear();
        route.message = "nobody used it for 30 minutes".to_owned();
    });
    world.settled().await;
    let page = world.get(HOST, "/", &["Accept: text/html", &token_header()]).await;
    assert_eq!(page.status, 503);
    assert!(
        page.text().contains("crannog start app") && page.text().contains("nobody used it for 30 minutes"),
        "{}",
        page.text()
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let stranger = world.get(HOST, "/", &["Accept: text/html"]).await;
    assert!(stranger.status == 401 && !stranger.text().contains("30 minutes"), "{}", stranger.text());
}

#[tokio::test]
async fn a_port_on_which_nothing_listens_says_so_and_tries_again() {
    let world = World::new().await;
    let page = world.get(HOST, "/", &["Accept: text/html", &token_header()]).await;
    assert_eq!((page.status, page.header("retry-after")), (502, Some("2")));
    assert!(page.text().contains("Nothing listens on 3000"), "{}", page.text());
    world.node.lead("i1", 3000, Recorder::default().serve().await);
    assert_eq!(world.get(HOST, "/", &[&token_header()]).await.text(), "ok");
}
