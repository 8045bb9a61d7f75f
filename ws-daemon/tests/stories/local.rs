//! Logs of tasks, while they run and afterwards.

use api::v1::node_local_service_server::NodeLocalService as _;
use api::v1::*;
use tokio_stream::StreamExt as _;
use ws_daemon::resolve::Resolver;
use ws_daemon::service::node_local::NodeLocal;

use super::support::*;

fn wrote(task: &str, offset: u64, data: &str, closed: bool) -> LogsResponse {
    LogsResponse { task: task.into(), offset, data: data.to_owned().into(), closed, time_unix_ms: 0 }
}

async fn logs(node: &TestNode, request: LogsRequest) -> Vec<(String, u64, String)> {
    let world = node.instances.world().clone();
    let service = NodeLocal::new(node.instances.clone(), Resolver::new(world, "host", 1, PATIENCE));
    let stream = service.logs(tonic::Request::new(request)).await.expect("logs").into_inner();
    let pieces: Vec<_> = within(stream.collect()).await;
    let text = |piece: LogsResponse| (piece.task, piece.offset, String::from_utf8_lossy(&piece.data).into_owned());
    pieces.into_iter().map(|piece| text(piece.expect("a piece"))).collect()
}

#[tokio::test]
async fn logs_are_there_while_it_runs_when_it_has_stopped_and_after_a_restart() {
    let node = TestNode::new().await;
    node.machine.script.lock().logs =
        vec![wrote("0", 0, "one ", false), wrote("0", 4, "two", true), wrote("1", 0, "other", false)];
    let spec = spec('a', '1');
    node.running(&spec).await;
    let all = LogsRequest { workspace: spec.workspace_id.clone(), follow: true, ..LogsRequest::default() };
    let (read, ()) = tokio::join!(logs(&node, all.clone()), async {
        let mut news = node.instances.world().logs.watch();
        while node.instances.world().logs.ends(&spec.workspace_id, &spec.id).len() < 2 {
            news.changed().await.expect("news");
        }
        node.stop(&spec).await;
    });
    let text = |task: &str| read.iter().filter(|piece| piece.0 == task).map(|piece| piece.2.as_str()).collect::<String>();
    assert_eq!((text("0").as_str(), text("1").as_str()), ("one two", "other"));

    let node = node.restart().await;
    node.until_phase(&spec.id, Phase::Stopped).await;
    let from = LogsRequest { task: "0".into(), offsets: [("0".to_owned(), 4)].into(), follow: false, ..all };
    let rest = logs(&node, from).await;
    assert_eq!(rest[0], ("0".to_owned(), 4, "two".to_owned()));
}

#[tokio::test]
async fn a_daemon_that_comes_back_asks_only_for_what_it_has_not_kept() {
    let node = TestNode::new().await;
    node.machine.script.lock().logs = vec![wrote("0", 0, "before ", false), wrote("0", 7, "after", false)];
    let spec = spec('a', '1');
    node.running(&spec).await;
    let whole = |node: &TestNode| node.instances.world().logs.ends(&spec.workspace_id, &spec.id).get("0") == Some(&12);
    let wait = async |node: &TestNode| {
        let mut news = node.instances.world().logs.watch();
        while !whole(node) {
            within(news.changed()).await.expect("news");
        }
    };
    wait(&node).await;
    let node = node.restart().await;
    node.until_phase(&spec.id, Phase::Running).await;
    assert!(whole(&node));
    let request = LogsRequest { workspace: spec.workspace_id.clone(), ..LogsRequest::default() };
    let text: String = logs(&node, request).await.into_iter().map(|piece| piece.2).collect();
    assert_eq!(text, "before after");
}

#[tokio::test]
async fn logs_of_a_workspace_that_is_not_here_are_not_found() {
    let node = TestNode::new().await;
    let world = node.instances.world().clone();
    let service = NodeLocal::new(node.instances.clone(), Resolver::new(world, "host", 1, PATIENCE));
    let request = LogsRequest { workspace: "../../etc".into(), ..LogsRequest::default() };
    let status = service.logs(tonic::Request::new(request)).await.err().expect("refused");
    assert_eq!(daemon_kit::status::class_of(&status), domain::class::Class::NotFound);
}
