//! Local repositories come as Git bundles.

use api::v1::node_service_client::NodeServiceClient;
use api::v1::*;
use futures::stream;

use crate::world::{World, bearer, detail, request};

const BUNDLE: &[u8] = b"# v2 git bundle\nnot a real one, which only a node would find out\n";

async fn upload(world: &World, bytes: &[u8]) -> Result<UploadSourceResponse, tonic::Status> {
    let pieces: Vec<_> = bytes.chunks(7).map(|piece| UploadSourceRequest { data: piece.to_vec().into() }).collect();
    Ok(world.people().await.upload_source(stream::iter(pieces)).await?.into_inner())
}

fn files(world: &World) -> usize {
    std::fs::read_dir(world.config.data.join("sources")).expect("sources").count()
}

#[tokio::test]
async fn an_upload_is_kept_once_under_its_digest_and_read_by_nodes_from_any_offset() {
    let world = World::start().await;
    let first = upload(&world, BUNDLE).await.expect("upload");
    let second = upload(&world, BUNDLE).await.expect("again");
    assert_eq!((first.size, first.known, second.known), (BUNDLE.len() as u64, false, true));
    assert_eq!((first.digest.clone(), files(&world)), (second.digest, 1));
    let mut node = NodeServiceClient::with_interceptor(world.channel().await, bearer(&world.tokens.node));
    let request = FetchSourceRequest { digest: first.digest, offset: 10 };
    let mut pieces = node.fetch_source(request).await.expect("fetch").into_inner();
    let mut all = Vec::new();
    while let Some(piece) = pieces.message().await.expect("piece") {
        assert_eq!(piece.size, BUNDLE.len() as u64);
        all.extend_from_slice(&piece.data);
    }
    assert_eq!(all, &BUNDLE[10..]);
    let unknown = FetchSourceRequest { digest: "sha256:../../state.db".into(), offset: 0 };
    assert_eq!(detail(&node.fetch_source(unknown).await.expect_err("unknown")).0, "not-found");
}

#[tokio::test]
async fn what_is_no_bundle_or_too_large_is_refused_and_leaves_nothing() {
    let world = World::with(|config| config.max_source_size = "1KiB".parse().expect("size")).await;
    assert_eq!(detail(&upload(&world, b"#!/bin/sh\n").await.expect_err("no bundle")).0, "invalid-argument");
    assert_eq!(detail(&upload(&world, b"").await.expect_err("empty")).0, "invalid-argument");
    let large = [BUNDLE, &[0; 2048]].concat();
    assert_eq!(detail(&upload(&world, &large).await.expect_err("too large")).0, "resource-exhausted");
    assert_eq!(files(&world), 0);
}

#[tokio::test]
async fn a_workspace_of_a_bundle_knows_its_name_origin_and_changes() {
    let world = World::start().await;
    let node = world.node("n1").await;
    let digest = upload(&world, BUNDLE).await.expect("upload").digest;
    let source = Source {
        bundle_digest: digest.clone(),
        r#ref: "refs/heads/main".into(),
        changes_ref: "refs/crannog/changes".into(),
        display: "~/src/My_App (local)".into(),
        origin: "git@github.com:team/My_App.git".into(),
        ..Default::default()
    };
    let created =
        world.create_request(CreateWorkspaceRequest { source: Some(source.clone()), ..request("") }).await.expect("create");
    assert_eq!(created.name, "my-app");
    world.running("my-app").await;
    let spec = node.memory(|memory| memory.applied.remove(0));
    let Some(content_spec::Initial::Git(git)) = spec.content.expect("content").initial else { panic!("no Git") };
    assert_eq!((git.remote.as_str(), git.bundle_digest, git.changes_ref.as_str()), ("", digest, "refs/crannog/changes"));
    assert_eq!((git.origin.as_str(), git.directory.as_str()), ("git@github.com:team/My_App.git", "My_App"));
    let missing = Source { bundle_digest: format!("sha256:{}", "0".repeat(64)), ..source };
    let refused =
        world.create_request(CreateWorkspaceRequest { source: Some(missing), ..request("b") }).await.expect_err("missing");
    assert_eq!(detail(&refused).0, "not-found");
}
