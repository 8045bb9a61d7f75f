//! Stories of credentials: who is shown them, and who is not.

#[path = "node/node.rs"]
#[allow(dead_code, reason = "shared by the stories of this directory, none of which uses all")]
mod node;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use domain::class::{Class, Classify};
use node::{Node, served};
use testkit::registry::{Access, Fault, ScriptedRegistry};

#[tokio::test]
async fn tokens_are_fetched_and_renewed() -> Result<()> {
    let (registry, image, reference) = served()?;
    registry.set_access(Access::AnonymousToken);
    // A token that ran out: the registry asks again in the middle.
    let challenge = format!(r#"Bearer realm="http://{}/token",service="test""#, registry.host());
    registry.script(&image.layers[0].digest, Some(1), Fault::StatusWith(401, "www-authenticate", challenge));
    Node::new()?.pull(&reference).await?;
    assert_eq!(registry.seen().iter().filter(|seen| seen.path.starts_with("/token")).count(), 2);
    let token = registry.seen().into_iter().find(|seen| seen.path.starts_with("/token")).context("no token was asked for")?;
    ensure!(token.path.contains("repository%3Ateam%2Ftool%3Apull") && token.authorization.is_none(), "{token:?}");
    Ok(())
}

#[tokio::test]
async fn private_images_need_docker_login() -> Result<()> {
    for access in [Access::Basic("me".into(), "secret".into()), Access::Token("me".into(), "secret".into())] {
        let (registry, _, reference) = served()?;
        registry.set_access(access);
        let (class, reason, hint) = Node::new()?.refused(&reference).await?;
        assert_eq!((class, reason), (Class::Unauthenticated, "RegistryLoginNeeded"));
        ensure!(hint.contains(&format!("docker login {}", registry.host())), "{hint}");

        let directory = tempfile::tempdir()?;
        let right = docker_config(directory.path(), &registry.host(), "me", "secret")?;
        Node::with(|options| options.docker_config = Some(right), |_| {})?.pull(&reference).await?;
        let wrong = docker_config(directory.path(), &registry.host(), "me", "guess")?;
        let node = Node::with(|options| options.docker_config = Some(wrong), |_| {})?;
        let error = node.pull(&reference).await.err().context("a wrong password")?;
        assert_eq!(error.class(), Class::Unauthenticated);
        ensure!(error.to_string().contains("refuses those it was shown"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_never_go_where_a_blob_is_redirected_to() -> Result<()> {
    let (registry, image, reference) = served()?;
    let mirror = ScriptedRegistry::start()?;
    mirror.add("team/tool", "v1", &image);
    registry.set_access(Access::Basic("me".into(), "secret".into()));
    registry.script("/blobs/", None, Fault::RedirectTo(format!("http://{}", mirror.host())));
    let directory = tempfile::tempdir()?;
    let config = docker_config(directory.path(), &registry.host(), "me", "secret")?;
    Node::with(|options| options.docker_config = Some(config), |_| {})?.pull(&reference).await?;
    ensure!(registry.seen().iter().any(|seen| seen.authorization.is_some()), "the registry was shown nothing");
    ensure!(!mirror.seen().is_empty(), "the mirror was not asked");
    ensure!(mirror.seen().iter().all(|seen| seen.authorization.is_none()), "the mirror was shown credentials");
    // Nor when it asks for some itself.
    mirror.set_access(Access::Basic("me".into(), "secret".into()));
    let config = docker_config(directory.path(), &registry.host(), "me", "secret")?;
    Node::with(|options| options.docker_config = Some(config), |_| {})?.refused(&reference).await?;
    ensure!(mirror.seen().iter().all(|seen| seen.authorization.is_none()), "the mirror was shown credentials");
    Ok(())
}

#[tokio::test]
async fn redirects_to_forbidden_places_are_not_followed() -> Result<()> {
    for (to, wanted) in [
        ("http://169.254.169.254/latest", "AddressForbidden"),
        ("http://[fe80::1]/", "AddressForbidden"),
        ("file:///etc/passwd", "AddressForbidden"),
        ("http://u:p@127.0.0.1:1/", "RegistryMalformed"),
        ("//", "RegistryMalformed"),
    ] {
        let (registry, _, reference) = served()?;
        registry.script("/blobs/", None, Fault::RedirectExactly(to.to_owned()));
        assert_eq!(Node::new()?.refused(&reference).await?.1, wanted, "{to}");
    }
    let (registry, _, reference) = served()?;
    registry.script("/manifests/", None, Fault::RedirectTo(format!("http://{}", registry.host())));
    assert_eq!(Node::new()?.refused(&reference).await?.1, "RegistryMalformed");
    Ok(())
}

/// A Docker configuration that knows a registry.
fn docker_config(directory: &Path, host: &str, user: &str, password: &str) -> Result<PathBuf> {
    let path = directory.join("docker.json");
    let auth = serde_json::json!({ "auths": { host: { "username": user, "password": password } } });
    std::fs::write(&path, auth.to_string())?;
    Ok(path)
}
