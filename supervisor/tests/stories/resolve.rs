//! What a source means is found out before anything is made of it.

use api::v1::*;
use testkit::git::Fixture;
use testkit::git::http::{HttpHost, Mode};

use crate::instance::Instance;
use crate::repository::{open_directory, with_source};

async fn job(bundle: Option<&std::path::Path>) -> anyhow::Result<Instance> {
    Instance::with(|config| {
        with_source(config, GitSource::default());
        config.spec.get_or_insert_default().set_kind(Kind::Job);
        config.bundle_path = bundle.map(|b| b.display().to_string()).unwrap_or_default();
    })
    .await
}

fn request(remote: &str, candidates: &[&str]) -> ResolveRequest {
    let candidates = candidates.iter().map(|c| (*c).to_owned()).collect();
    let config_files = vec![".gitpod.yml".into(), "nothing.yml".into(), "src".into(), "large.yml".into()];
    ResolveRequest { remote: remote.into(), candidates, config_files, ..Default::default() }
}

#[tokio::test]
async fn the_first_candidate_that_exists_and_its_configuration_are_found() -> anyhow::Result<()> {
    let (fixture, root) = (Fixture::usual()?, open_directory()?);
    fixture.write("large.yml", vec![b'x'; 300 << 10])?;
    fixture.commit("large")?;
    fixture.publish(&root.path().join("usual.git"))?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    let url = host.url("usual.git");
    let mut instance = job(None).await?;
    let commit = |full: &str| fixture.git(["rev-parse", &format!("{full}^{{commit}}")]);
    for (candidates, full, candidate) in [
        (vec![], "refs/heads/main", ""),
        (vec!["feature/with/slashes/docs", "feature/with/slashes"], "refs/heads/feature/with/slashes", "feature/with/slashes"),
        (vec!["v1.0"], "refs/tags/v1.0", "v1.0"),
        (vec!["refs/pull/7/head"], "refs/pull/7/head", "refs/pull/7/head"),
    ] {
        let found = instance.client.resolve(request(&url, &candidates)).await?.into_inner();
        assert_eq!((found.commit, found.r#ref.as_str(), found.candidate.as_str()), (commit(full)?, full, candidate));
        assert_eq!(found.default_branch, "main");
        assert!(found.partial_clone);
    }
    let old = commit("main~1")?;
    let found = instance.client.resolve(request(&url, &[&old])).await?.into_inner();
    assert_eq!((found.commit, found.r#ref.as_str(), found.files[0].path.as_str()), (old, "", ".gitpod.yml"));
    let found = instance.client.resolve(request(&url, &[])).await?.into_inner();
    let files: Vec<_> = found.files.iter().map(|f| (f.path.as_str(), f.data.len(), f.truncated)).collect();
    assert_eq!(files, [(".gitpod.yml", "tasks:\n  - init: make\n".len(), false), ("large.yml", 0, true)]);
    assert_eq!(instance.shell("ls -A /tmp | grep -c crannog-resolve").await?.stdout, b"0\n", "nothing is left");
    Ok(())
}

#[tokio::test]
async fn a_bundle_is_looked_into_as_well() -> anyhow::Result<()> {
    let (fixture, directory) = (Fixture::usual()?, open_directory()?);
    let bundle = directory.path().join("source.bundle");
    fixture.bundle(&bundle, &["HEAD", "refs/heads/main", "refs/heads/feature/with/slashes"])?;
    let mut instance = job(Some(&bundle)).await?;
    let mut ask = request("", &[]);
    ask.bundle_digest = "sha256:x".into();
    let found = instance.client.resolve(ask).await?.into_inner();
    assert_eq!((found.commit, found.r#ref.as_str()), (fixture.git(["rev-parse", "main"])?, "refs/heads/main"));
    assert_eq!(found.files[0].data.as_ref(), b"tasks:\n  - init: make\n");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_resolved_says_why_by_its_class() -> anyhow::Result<()> {
    let (fixture, root) = (Fixture::usual()?, open_directory()?);
    fixture.publish(&root.path().join("usual.git"))?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    let locked = HttpHost::serve(root.path(), Mode::Refuse(401)).await?;
    let mut instance = job(None).await?;
    for (remote, candidate, code, text) in [
        (host.url("usual.git"), "nope", tonic::Code::NotFound, "no such branch or tag: nope"),
        (host.url("usual.git"), "1212121212121212121212121212121212121212", tonic::Code::NotFound, "no such commit"),
        (host.url("nothing.git"), "main", tonic::Code::NotFound, "no repository"),
        (locked.url("usual.git"), "main", tonic::Code::Unauthenticated, "wants a login"),
        ("ext::sh -c x".into(), "main", tonic::Code::InvalidArgument, "cannot be used"),
        (host.url("usual.git"), "--upload-pack=x", tonic::Code::InvalidArgument, "cannot be used"),
        (String::new(), "main", tonic::Code::InvalidArgument, "neither a remote nor a bundle"),
    ] {
        let status = instance.client.resolve(request(&remote, &[candidate])).await.expect_err(&remote);
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(text), "{status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_repository_without_commits_is_its_unborn_branch() -> anyhow::Result<()> {
    let root = open_directory()?;
    Fixture::new()?.publish(&root.path().join("empty.git"))?;
    let host = HttpHost::serve(root.path(), Mode::Open).await?;
    let mut instance = job(None).await?;
    let found = instance.client.resolve(request(&host.url("empty.git"), &[])).await?.into_inner();
    assert_eq!((found.commit.as_str(), found.r#ref.as_str()), ("", "refs/heads/main"));
    Ok(())
}
