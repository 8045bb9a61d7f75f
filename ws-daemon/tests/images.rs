//! Stories of images as the node sees them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::class::{Class, Classify};
use oci::registry::Options;
use oci::store::StoreOptions;
use testkit::images::{Image, Layer};
use testkit::registry::{Access, Fault, ScriptedRegistry};
use ws_daemon::images::NodeImages;
use ws_daemon::ports::{Images, Progress};

/// What was told: bytes so far, bytes in all, word.
type Told = Arc<Mutex<Vec<(u64, u64, String)>>>;

fn images(directory: &Path) -> Result<NodeImages> {
    let registry = Options { docker_config: None, retry_pause: Duration::from_millis(1), ..Options::default() };
    Ok(NodeImages::with(directory, registry, StoreOptions { grace: Duration::ZERO, ..StoreOptions::default() })?)
}

fn listen() -> (Told, Progress) {
    let told = Told::default();
    let heard = told.clone();
    (told, Arc::new(move |done, total, word| heard.lock().expect("told").push((done, total, word.to_owned()))))
}

fn image() -> Image {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let layer =
        Layer::new().owned_by(uid.into(), gid.into()).file("bin/sh", 0o755, "#!").file("etc/motd", 0o644, vec![b'x'; 700_000]);
    Image::builder().layer(layer).config("Env", serde_json::json!(["A=1"])).config("User", "dev".into()).build()
}

#[tokio::test]
async fn the_image_host_is_always_there() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (_, progress) = listen();
    let host = images(directory.path())?.prepare("host", progress).await?;
    assert_eq!((host.root.as_path(), host.hit, host.bytes, host.digest.as_str()), (Path::new("/"), true, 0, ""));
    Ok(())
}

#[tokio::test]
async fn an_image_is_pulled_told_of_and_collected() -> Result<()> {
    let (directory, registry) = (tempfile::tempdir()?, ScriptedRegistry::start()?);
    registry.add("team/tool", "v1", &image());
    let images = images(directory.path())?;
    let (told, progress) = listen();
    let reference = registry.reference("team/tool:v1");
    let pulled = images.prepare(&reference, progress.clone()).await?;
    assert_eq!(
        (pulled.reference.as_str(), pulled.digest.as_str(), pulled.hit),
        (reference.as_str(), image().digest().as_str(), false)
    );
    assert_eq!((pulled.config.user.as_str(), pulled.config.env.as_slice()), ("dev", &[("A".to_owned(), "1".to_owned())][..]));
    ensure!(pulled.root.join("bin/sh").is_file(), "no root");
    let last = told.lock().expect("told").last().cloned().context("nothing was told")?;
    ensure!(last.0 == pulled.bytes && last.2.ends_with("pulled"), "{last:?}");
    ensure!(images.prepare(&reference, progress).await?.hit, "it was pulled again");
    assert_eq!(images.collect(std::slice::from_ref(&pulled.digest)).await?, 0);
    ensure!(images.collect(&[]).await? > 700_000, "nothing was freed");
    ensure!(!pulled.root.exists(), "it is still there");
    Ok(())
}

#[tokio::test]
async fn without_its_registry_a_tag_means_what_it_meant() -> Result<()> {
    let (directory, mut registry) = (tempfile::tempdir()?, ScriptedRegistry::start()?);
    registry.add("team/tool", "v1", &image());
    let reference = registry.reference("team/tool:v1");
    let first = images(directory.path())?.prepare(&reference, listen().1).await?;
    registry.stop();
    let (told, progress) = listen();
    let second = images(directory.path())?.prepare(&reference, progress).await?;
    assert_eq!((second.digest, second.hit), (first.digest, true));
    ensure!(told.lock().expect("told").last().is_some_and(|last| last.2.contains("the registry is away")), "not told");
    Ok(())
}

#[tokio::test]
async fn every_failure_has_its_class_and_says_what_to_do() -> Result<()> {
    let (directory, registry) = (tempfile::tempdir()?, ScriptedRegistry::start()?);
    registry.add("team/tool", "v1", &image());
    registry.add("other", "v1", &Image::builder().platform("linux", "s390x", "").build());
    registry.add("private", "v1", &image());
    registry.add("wrong", "v1", &image());
    let images = images(directory.path())?;
    let closed = { std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()? };
    let here = |name: &str| registry.reference(name);
    let cases = [
        ("Not An Image!".to_owned(), Class::InvalidArgument, "ImageReference", "localhost:5000/image"),
        (here("team/tool:v2"), Class::NotFound, "ImageNotFound", "--image host"),
        (here("other:v1"), Class::NotFound, "NoMatchingPlatform", "linux/s390x"),
        (format!("{closed}/tool:v1"), Class::Unavailable, "RegistryUnavailable", "can be reached"),
        ("169.254.169.254/latest:meta".to_owned(), Class::PermissionDenied, "AddressForbidden", "registry"),
    ];
    for (reference, class, reason, hint) in cases {
        let error = images.prepare(&reference, listen().1).await.err().with_context(|| format!("{reference} was pulled"))?;
        assert_eq!((error.class(), error.reason()), (class, reason), "{reference}: {error}");
        ensure!(error.hint().is_some_and(|said| said.contains(hint)), "{reference}: {:?}", error.hint());
    }
    registry.script("/blobs/", None, Fault::FlipBit);
    let error = images.prepare(&here("wrong:v1"), listen().1).await.err().context("wrong bytes")?;
    assert_eq!((error.class(), error.reason()), (Class::DataLoss, "DigestMismatch"), "{error}");
    registry.set_access(Access::Basic("me".into(), "secret".into()));
    let error = images.prepare(&here("private:v1"), listen().1).await.err().context("no login")?;
    assert_eq!((error.class(), error.reason()), (Class::Unauthenticated, "RegistryLoginNeeded"), "{error}");
    ensure!(error.hint().is_some_and(|hint| hint.contains("docker login")), "{:?}", error.hint());
    Ok(())
}
