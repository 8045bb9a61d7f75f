//! Stories of pulls that end well, whatever comes in between.

#[path = "node/node.rs"]
#[allow(dead_code, reason = "shared by the stories of this directory, none of which uses all")]
mod node;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::class::Class;
use node::{Node, image, layer, noise, open, read, served};
use oci::store::Progress;
use testkit::images::{Image, digest};
use testkit::registry::{Fault, ScriptedRegistry};

#[tokio::test]
async fn an_image_of_gzip_zstd_and_plain_layers_becomes_a_root() -> Result<()> {
    let (_registry, image, reference) = served()?;
    let node = Node::new()?;
    let pulled = node.pull(&reference).await?;
    assert_eq!((pulled.digest.to_string(), pulled.hit), (image.digest(), false));
    assert_eq!(pulled.bytes, image.layers.iter().map(|layer| layer.bytes.len() as u64).sum::<u64>());
    assert_eq!(pulled.rootfs, node.directory.path().join("sha256").join(pulled.digest.hex()).join("rootfs"));
    assert_eq!(read(&pulled, "etc/motd")?, "hello");
    ensure!(!pulled.rootfs.join("etc/os-release").exists(), "the whiteout hid nothing");
    let tool = std::fs::metadata(pulled.rootfs.join("bin/tool"))?;
    assert_eq!((tool.permissions().mode() & 0o7777, tool.nlink(), tool.mtime()), (0o4755, 2, 1_700_000_000));
    for directory in ["proc", "sys", "dev"] {
        ensure!(pulled.rootfs.join(directory).is_dir(), "no /{directory}");
    }
    assert_eq!((pulled.config.user.as_str(), pulled.config.working_directory.as_str()), ("1000", "/workspace"));
    assert_eq!(pulled.config.env[0], ("PATH".to_owned(), "/bin".to_owned()));
    assert_eq!(std::fs::metadata(node.directory.path())?.permissions().mode() & 0o777, 0o700);
    assert_eq!(node.left("sha256"), [pulled.digest.hex()]);
    assert_eq!(node.left("blobs/sha256"), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_second_pull_fetches_nothing() -> Result<()> {
    let (registry, _, reference) = served()?;
    let node = Node::new()?;
    node.pull(&reference).await?;
    let before = registry.blob_requests();
    let again = node.pull(&reference).await?;
    assert_eq!((again.hit, again.bytes, registry.blob_requests()), (true, 0, before));
    Ok(())
}

#[tokio::test]
async fn a_tag_that_still_means_the_same_is_not_counted_as_a_pull() -> Result<()> {
    let registry = ScriptedRegistry::start()?;
    let first = image();
    registry.add_index("multi", "v1", std::slice::from_ref(&first))?;
    let (node, reference) = (Node::new()?, registry.reference("multi:v1"));
    node.pull(&reference).await?;
    let before = registry.seen().len();
    ensure!(node.pull(&reference).await?.hit, "it was pulled again");
    let later: Vec<_> = registry.seen().split_off(before).into_iter().map(|seen| seen.method).collect();
    assert_eq!(later, ["HEAD"]);

    let second = Image::builder().layer(layer().file("a", 0o644, "new")).build();
    registry.add_index("multi", "v1", std::slice::from_ref(&second))?;
    assert_eq!(node.pull(&reference).await?.digest.to_string(), second.digest());
    Ok(())
}

#[tokio::test]
async fn ten_at_once_pull_once() -> Result<()> {
    let (registry, image, reference) = served()?;
    let node = Arc::new(Node::new()?);
    let pulls: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn({
                let (node, reference) = (node.clone(), reference.clone());
                async move { node.pull(&reference).await }
            })
        })
        .collect();
    let mut misses = 0;
    for pull in pulls {
        misses += usize::from(!pull.await??.hit);
    }
    assert_eq!((misses, registry.blob_requests()), (1, image.layers.len() + 1));
    Ok(())
}

#[tokio::test]
async fn two_processes_on_one_directory_pull_once() -> Result<()> {
    let (registry, image, reference) = served()?;
    let node = Node::new()?;
    let other = open(node.directory.path(), |_| {}, |_| {})?;
    let (parsed, quiet): (_, Progress) = (reference.parse()?, Arc::new(|_, _, _| {}));
    let (first, second) = tokio::join!(node.pull(&reference), other.pull(&parsed, &quiet));
    assert_eq!(u8::from(first?.hit) + u8::from(second?.hit), 1);
    assert_eq!(registry.blob_requests(), image.layers.len() + 1);
    Ok(())
}

#[tokio::test]
async fn a_layer_that_breaks_off_goes_on_where_it_was() -> Result<()> {
    let (registry, image, reference) = served()?;
    let first = &image.layers[0].digest;
    registry.script(first, Some(2), Fault::CutAfter(100_000));
    let pulled = Node::new()?.pull(&reference).await?;
    let seen = registry.seen();
    let ranges: Vec<_> = seen.iter().filter(|seen| seen.path.contains(first)).map(|seen| seen.range.clone()).collect();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    ensure!(ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    assert_eq!(pulled.bytes, image.layers.iter().map(|layer| layer.bytes.len() as u64).sum::<u64>());
    Ok(())
}

#[tokio::test]
async fn a_silent_registry_is_asked_again_from_there() -> Result<()> {
    let (registry, image, reference) = served()?;
    registry.script(&image.layers[0].digest, Some(1), Fault::StallAfter(65_536));
    Node::new()?.pull(&reference).await?;
    ensure!(registry.seen().iter().any(|seen| seen.range.is_some()), "no range was asked for");
    Ok(())
}

#[tokio::test]
async fn an_interrupted_pull_goes_on_after_a_restart() -> Result<()> {
    let (registry, image, reference) = served()?;
    let node = Node::new()?;
    registry.script(&image.layers[0].digest, Some(1), Fault::CutAfter(100_000));
    registry.script(&image.layers[0].digest, None, Fault::Status(503));
    let (class, reason, _) = node.refused(&reference).await?;
    assert_eq!((class, reason), (Class::Unavailable, "RegistryUnavailable"));
    assert_eq!(node.left("sha256"), Vec::<String>::new(), "something half-done is visible");
    registry.behave();
    let before = registry.seen().len();
    let again = open(node.directory.path(), |_| {}, |_| {})?;
    let quiet: Progress = Arc::new(|_, _, _| {});
    let pulled = again.pull(&reference.parse()?, &quiet).await?;
    let later = registry.seen().split_off(before);
    let range = later.iter().find(|seen| seen.path.contains(&image.layers[0].digest)).and_then(|seen| seen.range.clone());
    assert_eq!(range.as_deref(), Some("bytes=100000-"));
    ensure!(pulled.bytes < image.layers.iter().map(|layer| layer.bytes.len() as u64).sum::<u64>(), "all was fetched again");
    Ok(())
}

#[tokio::test]
async fn what_lay_on_disk_is_not_believed() -> Result<()> {
    let (_registry, image, reference) = served()?;
    let node = Node::new()?;
    let blobs = node.directory.path().join("blobs/sha256");
    let hex = |index: usize| image.layers[index].digest.trim_start_matches("sha256:").to_owned();
    std::fs::write(blobs.join(format!("{}.partial", hex(0))), noise(5000))?;
    std::fs::write(blobs.join(hex(1)), b"not what it says")?;
    std::fs::write(blobs.join(format!("{}.partial", hex(2))), vec![0; 1 << 20])?;
    assert_eq!(read(&node.pull(&reference).await?, "etc/motd")?, "hello");
    Ok(())
}

#[tokio::test]
async fn a_registry_without_ranges_or_with_wrong_ones_still_gives_the_image() -> Result<()> {
    for fault in [Fault::IgnoreRange, Fault::WrongRange, Fault::Status(416)] {
        let (registry, image, reference) = served()?;
        registry.script(&image.layers[0].digest, Some(1), Fault::CutAfter(100_000));
        registry.script(&image.layers[0].digest, Some(1), fault.clone());
        Node::new()?.pull(&reference).await.with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_manifest_for_this_machine_is_taken_from_an_index() -> Result<()> {
    let registry = ScriptedRegistry::start()?;
    let own = image();
    let other = Image::builder().platform("linux", "s390x", "").layer(layer().file("a", 0o644, "other")).build();
    let index = registry.add_index("multi", "v1", &[other.clone(), own.clone()])?;
    let node = Node::new()?;
    assert_eq!(node.pull(&registry.reference("multi:v1")).await?.digest.to_string(), own.digest());
    ensure!(node.pull(&registry.reference(&format!("multi@{index}"))).await?.hit, "the same image by the index's digest");

    registry.add_index("foreign", "v1", std::slice::from_ref(&other))?;
    registry.add("foreign", "single", &other);
    for tag in ["v1", "single"] {
        let (class, reason, hint) = node.refused(&registry.reference(&format!("foreign:{tag}"))).await?;
        assert_eq!((class, reason), (Class::NotFound, "NoMatchingPlatform"));
        ensure!(hint.contains("linux/s390x"), "{hint}");
    }
    Ok(())
}

#[tokio::test]
async fn dockers_own_media_types_are_images_too() -> Result<()> {
    let registry = ScriptedRegistry::start()?;
    registry.add("old", "v1", &Image::builder().docker().layer(layer().file("a", 0o644, "a")).build());
    assert_eq!(read(&Node::new()?.pull(&registry.reference("old:v1")).await?, "a")?, "a");
    Ok(())
}

#[tokio::test]
async fn a_tag_pulled_before_starts_without_its_registry() -> Result<()> {
    let (mut registry, image, reference) = served()?;
    let node = Node::new()?;
    node.pull(&reference).await?;
    let (host, pinned) = (registry.host(), registry.reference(&format!("team/tool@{}", image.digest())));
    registry.stop();
    let offline = node.pull(&reference).await?;
    assert_eq!((offline.hit, offline.digest.to_string()), (true, image.digest()));
    ensure!(offline.stale.is_some() && node.words.lock().expect("words").iter().any(|word| word.contains("away")), "not told");
    ensure!(node.pull(&pinned).await?.stale.is_none(), "a pinned image needs no registry");
    let (class, reason, hint) = node.refused(&format!("{host}/team/tool:v2")).await?;
    assert_eq!((class, reason), (Class::Unavailable, "RegistryUnavailable"));
    ensure!(hint.contains(&host), "{hint}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_fails_for_a_moment_is_asked_again() -> Result<()> {
    let (registry, _, reference) = served()?;
    registry.script("/manifests/", Some(2), Fault::StatusWith(503, "retry-after", "0".to_owned()));
    registry.script("/blobs/", Some(1), Fault::Status(500));
    Node::new()?.pull(&reference).await?;
    Ok(())
}

#[tokio::test]
async fn what_nobody_uses_is_collected() -> Result<()> {
    let (registry, image, reference) = served()?;
    let other = Image::builder().layer(layer().file("big", 0o644, noise(500_000))).build();
    registry.add("other", "v1", &other);
    let node = Node::with(|_| {}, |options| options.grace = Duration::ZERO)?;
    node.pull(&reference).await?;
    node.pull(&registry.reference("other:v1")).await?;
    std::fs::create_dir_all(
        node.directory.path().join(format!("sha256/{}.partial/rootfs", digest(b"x").trim_start_matches("sha256:"))),
    )?;
    std::fs::write(node.directory.path().join("blobs/sha256/0.partial"), "left")?;
    let freed = node.store.collect(&[image.digest(), "nonsense".to_owned()]).await?;
    ensure!(freed >= 500_000, "{freed} bytes freed");
    assert_eq!(node.left("sha256"), [&image.digest()[7..]]);
    assert_eq!((node.left("blobs/sha256").len(), node.left("tags").len()), (0, 1));
    ensure!(node.pull(&reference).await?.hit, "the used one went, too");
    Ok(())
}

#[tokio::test]
async fn what_was_just_handed_out_is_not_collected() -> Result<()> {
    let (_registry, image, reference) = served()?;
    let node = Node::new()?;
    node.pull(&reference).await?;
    assert_eq!(node.store.collect(&[]).await?, 0);
    assert_eq!(node.left("sha256"), [&image.digest()[7..]]);
    Ok(())
}

#[tokio::test]
async fn a_pull_that_is_given_up_can_be_started_again() -> Result<()> {
    let (registry, image, reference) = served()?;
    registry.script(&image.layers[2].digest, None, Fault::StallAfter(10));
    let node = Node::with(|options| options.read_timeout = Duration::from_secs(60), |_| {})?;
    let given_up = tokio::time::timeout(Duration::from_millis(400), node.pull(&reference)).await;
    ensure!(given_up.is_err(), "it did not stall");
    registry.behave();
    ensure!(!node.pull(&reference).await?.hit, "a half-done image was found");
    Ok(())
}
