//! Who may call what; and that no token is ever logged.

use std::io::Write;
use std::sync::{Arc, Mutex};

use api::v1::edge_service_client::EdgeServiceClient;
use api::v1::node_service_client::NodeServiceClient;
use api::v1::workspace_service_client::WorkspaceServiceClient;
use api::v1::*;
use daemon_kit::secret::Token;
use futures::stream;
use orchestrator::config::{Config, DEFAULTS};
use tonic::Code;
use tonic::transport::Channel;

use crate::world::{World, bearer, detail};

/// Calls one unary method of each service with a token; gives the codes for people's, nodes' and edges'.
async fn codes(channel: &Channel, token: &Token) -> [Code; 3] {
    let code = |answer: Result<(), tonic::Status>| answer.map_or_else(|status| status.code(), |()| Code::Ok);
    let mut people = WorkspaceServiceClient::with_interceptor(channel.clone(), bearer(token));
    let mut nodes = NodeServiceClient::with_interceptor(channel.clone(), bearer(token));
    let mut edges = EdgeServiceClient::with_interceptor(channel.clone(), bearer(token));
    let people = people.server_info(ServerInfoRequest {}).await.map(drop);
    let nodes = nodes.tunnel(stream::iter([TunnelFrame { id: "nobody's".into(), ..Default::default() }])).await.map(drop);
    let edges = edges.report_activity(ReportActivityRequest::default()).await.map(drop);
    [code(people), code(nodes), code(edges)]
}

#[tokio::test]
async fn each_token_opens_its_own_service_and_no_other() {
    use Code::{InvalidArgument, Ok, PermissionDenied, Unauthenticated};
    let world = World::start().await;
    let channel = world.channel().await;
    assert_eq!(codes(&channel, &world.tokens.owner).await, [Ok, PermissionDenied, PermissionDenied]);
    assert_eq!(codes(&channel, &world.tokens.edge).await, [PermissionDenied, PermissionDenied, Ok]);
    // A tunnel that nobody waits for is refused by the service itself: the token let it in.
    assert_eq!(codes(&channel, &world.tokens.node).await, [PermissionDenied, InvalidArgument, PermissionDenied]);
    assert_eq!(codes(&channel, &Token::random_hex()).await, [Unauthenticated; 3]);
    let nobody = WorkspaceServiceClient::new(channel).server_info(ServerInfoRequest {}).await.expect_err("no token");
    assert_eq!(nobody.code(), Unauthenticated);
    assert!(detail(&nobody).1.contains("client.json"));
}

#[tokio::test]
async fn every_method_of_every_service_is_denied_to_every_other_role() {
    let world = World::start().await;
    let hashes = world.tokens.hashes();
    let roles =
        [("WorkspaceService", &world.tokens.owner), ("NodeService", &world.tokens.node), ("EdgeService", &world.tokens.edge)];
    let descriptors: prost_types::FileDescriptorSet = prost::Message::decode(api::DESCRIPTORS).expect("descriptors");
    let mut count = 0;
    for file in descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                for (of, token) in roles {
                    let mut headers = http::HeaderMap::new();
                    headers.insert("authorization", format!("Bearer {}", token.expose()).parse().expect("header"));
                    let allowed = hashes.check(&path, &headers).is_ok();
                    assert_eq!(allowed, file.package() == "crannog.v1" && service.name() == of, "{path} with the token of {of}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 60, "{count}");
}

#[tokio::test]
async fn tokens_and_the_data_directory_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start().await;
    let mode = |path: &std::path::Path| path.metadata().expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&world.config.data), 0o700);
    for name in ["owner.token", "node.token", "edge.token"] {
        assert_eq!(mode(&world.config.data.join(name)), 0o600);
    }
}

#[tokio::test]
async fn a_second_orchestrator_on_the_same_data_and_a_wire_in_the_clear_are_refused() {
    let world = World::start().await;
    let Err(error) = orchestrator::app::bind(&world.config).await else { panic!("a second one") };
    assert!(format!("{error:#}").contains("in use by process"), "{error:#}");
    let mut config: Config = daemon_kit::config::load(DEFAULTS, None, "CRANNOG_NO_SUCH_PREFIX_", &[]).expect("defaults");
    config.data = world.directory.path().join("other");
    config.listen = "0.0.0.0:0".parse().expect("address");
    let Err(error) = orchestrator::app::bind(&config).await else { panic!("in the clear") };
    assert!(format!("{error:#}").contains("no TLS"), "{error:#}");
    config.allow_plain_text = true;
    orchestrator::app::bind(&config).await.expect("by an explicit setting");
}

/// Everything that this test program logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_in_any_log_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // The runtime of this test is this thread's alone, so what the server logs is seen here.
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::start().await;
    world.node("n1").await;
    world.create("app").await;
    world.running("app").await;
    let request = CreatePortLinkRequest { workspace: "app".into(), port: 3000 };
    let link = world.people().await.create_port_link(request).await.expect("link").into_inner();
    let code = link.url.split_once("?code=").expect("code").1.to_owned();
    let id = world.get("app").await.expect("get").id;
    let session = world
        .edge()
        .await
        .redeem_code(RedeemCodeRequest { code: code.clone(), workspace_id: id })
        .await
        .expect("redeem")
        .into_inner();
    let wrong = Token::random_hex();
    codes(&world.channel().await, &wrong).await;
    let text = String::from_utf8_lossy(&log.0.lock().expect("lock")).into_owned();
    assert!(text.contains("a node is connected") && text.contains("TRACE"), "the log was seen");
    let secrets = [
        world.tokens.owner.expose(),
        world.tokens.node.expose(),
        world.tokens.edge.expose(),
        &code,
        &session.token,
        wrong.expose(),
    ];
    for secret in secrets {
        assert!(!text.contains(secret.as_str()), "a secret was logged");
    }
}
