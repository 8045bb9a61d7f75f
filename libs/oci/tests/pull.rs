//! Stories of a pull, from a registry that does as it is told.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::class::{Class, Classify};
use oci::registry::{Client, Options};
use oci::store::{ImageStore, Progress, StoreError, StoreOptions, StoredImage};
use testkit::images::{Image, Layer, Packing, digest};
use testkit::registry::{Access, Fault, ScriptedRegistry};

struct Node {
    directory: tempfile::TempDir,
    store: ImageStore,
    words: Arc<Mutex<Vec<String>>>,
}

impl Node {
    fn new() -> Result<Self> {
        Self::with(|_| {}, |_| {})
    }

    fn with(registry: impl FnOnce(&mut Options), store: impl FnOnce(&mut StoreOptions)) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let store = open(directory.path(), registry, store)?;
        Ok(Self { directory, store, words: Arc::default() })
    }

    async fn pull(&self, reference: &str) -> Result<StoredImage, StoreError> {
        let words = self.words.clone();
        let progress: Progress = Arc::new(move |_, _, word| words.lock().expect("words").push(word.to_owned()));
        self.store.pull(&reference.parse().expect("a reference"), &progress).await
    }

    async fn refused(&self, reference: &str) -> Result<(Class, &'static str, String)> {
        let error = self.pull(reference).await.err().context("it was pulled")?;
        Ok((error.class(), error.reason(), error.hint().unwrap_or_default()))
    }

    /// Everything of images (whole, half, locks) and of blobs that lies in the store.
    fn left(&self, part: &str) -> Vec<String> {
        let listed = std::fs::read_dir(self.directory.path().join(part)).expect("list").flatten();
        let mut names: Vec<_> = listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn open(path: &Path, registry: impl FnOnce(&mut Options), store: impl FnOnce(&mut StoreOptions)) -> Result<ImageStore> {
    let mut options = Options {
        docker_config: None,
        retry_pause: Duration::from_millis(1),
        read_timeout: Duration::from_millis(500),
        ..Options::default()
    };
    registry(&mut options);
    let mut limits = StoreOptions::default();
    store(&mut limits);
    Ok(ImageStore::open(path, Client::new(options)?, limits)?)
}

/// Owners are those of whoever runs the test, so that it needs no root.
fn layer() -> Layer {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Layer::new().owned_by(uid.into(), gid.into())
}

/// Bytes that do not pack well.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn image() -> Image {
    Image::builder()
        .layer(layer().dir("etc", 0o755).file("etc/os-release", 0o644, "ID=test\n").file("bin/tool", 0o4755, noise(300_000)))
        .blob(layer().file("etc/motd", 0o644, "hello").symlink("usr/bin", "../bin").whiteout("etc", "os-release").pack(Packing::Zstd))
        .blob(layer().hard_link("bin/other", "bin/tool").pack(Packing::Plain))
        .config("Env", serde_json::json!(["PATH=/bin", "LANG=C"]))
        .config("User", serde_json::json!("1000"))
        .config("WorkingDir", serde_json::json!("/workspace"))
        .build()
}

fn served() -> Result<(ScriptedRegistry, Image, String)> {
    let registry = ScriptedRegistry::start()?;
    let image = image();
    registry.add("team/tool", "v1", &image);
    let reference = registry.reference("team/tool:v1");
    Ok((registry, image, reference))
}

fn read(image: &StoredImage, path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(image.rootfs.join(path))?)
}

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
async fn ten_at_once_pull_once() -> Result<()> {
    let (registry, image, reference) = served()?;
    let node = Arc::new(Node::new()?);
    let pulls: Vec<_> = (0..10).map(|_| tokio::spawn({
        let (node, reference) = (node.clone(), reference.clone());
        async move { node.pull(&reference).await }
    })).collect();
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
async fn wrong_bytes_are_data_loss_and_nothing_is_left() -> Result<()> {
    for fault in [Fault::FlipBit, Fault::Longer(10)] {
        let (registry, image, reference) = served()?;
        registry.script(&image.layers[1].digest, None, fault.clone());
        let node = Node::new()?;
        let (class, reason, hint) = node.refused(&reference).await?;
        assert_eq!(class, Class::DataLoss, "{fault:?} {reason}");
        ensure!(!hint.is_empty(), "no hint for {fault:?}");
        assert_eq!(node.left("sha256"), Vec::<String>::new());
        ensure!(!node.left("blobs/sha256").contains(&image.layers[1].digest[7..].to_owned()), "wrong bytes were kept");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_manifests_and_configurations_are_data_loss() -> Result<()> {
    let (registry, image, reference) = served()?;
    registry.script("/blobs/", None, Fault::FlipBit);
    assert_eq!(Node::new()?.refused(&reference).await?.1, "DigestMismatch");
    registry.behave();
    let pinned = registry.reference(&format!("team/tool@{}", image.digest()));
    registry.script("/manifests/", None, Fault::FlipBit);
    assert_eq!(Node::new()?.refused(&pinned).await?.1, "DigestMismatch");
    Ok(())
}

#[tokio::test]
async fn layers_that_are_not_those_of_the_configuration_are_data_loss() -> Result<()> {
    let registry = ScriptedRegistry::start()?;
    let mut blob = layer().file("a", 0o644, "a").pack(Packing::Gzip);
    blob.diff_id = digest(b"something else");
    registry.add("liar", "v1", &Image::builder().blob(blob).build());
    let node = Node::new()?;
    let (class, reason, _) = node.refused(&registry.reference("liar:v1")).await?;
    assert_eq!((class, reason), (Class::DataLoss, "DigestMismatch"));
    assert_eq!(node.left("sha256"), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_hostile_layer_leaves_no_image() -> Result<()> {
    let registry = ScriptedRegistry::start()?;
    for (name, bad, reason) in [
        ("proc", layer().symlink("proc", "/etc"), "RootfsUnsafe"),
        ("dev", layer().file("dev", 0o644, "x"), "RootfsUnsafe"),
        ("link", layer().hard_link("h", "nothing"), "LayerUnsafe"),
        ("owner", Layer::new().owned_by(100_000, 0).file("f", 0o644, ""), "OwnerOutOfRange"),
    ] {
        registry.add(name, "v1", &Image::builder().layer(bad).build());
        let node = Node::new()?;
        let refused = node.refused(&registry.reference(&format!("{name}:v1"))).await?;
        assert_eq!((refused.0, refused.1), (Class::InvalidArgument, reason));
        ensure!(refused.2.contains("--image host"), "{}", refused.2);
        assert_eq!(node.left("sha256"), Vec::<String>::new(), "{name}");
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
async fn a_missing_image_says_what_to_do() -> Result<()> {
    let (registry, _, _) = served()?;
    for name in ["team/tool:v2", "nothing", &format!("team/tool@{}", digest(b"x"))] {
        let (class, reason, hint) = Node::new()?.refused(&registry.reference(name)).await?;
        assert_eq!((class, reason), (Class::NotFound, "ImageNotFound"), "{name}");
        ensure!(hint.contains("spelling") && hint.contains("--image host"), "{hint}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tag_pulled_before_starts_without_its_registry() -> Result<()> {
    let (mut registry, image, reference) = served()?;
    let node = Node::new()?;
    node.pull(&reference).await?;
    let (host, pinned) = (registry.host(), registry.reference(&format!("team/tool@{}", image.digest())));
    node.pull(&pinned).await?;
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
async fn web_pages_and_too_large_manifests_are_no_images() -> Result<()> {
    let (registry, _, reference) = served()?;
    registry.script("/manifests/", Some(1), Fault::Instead("text/html", "<html>log in</html>".into()));
    assert_eq!(Node::new()?.refused(&reference).await?.1, "ManifestMalformed");
    registry.script("/manifests/", Some(1), Fault::Instead("application/json", vec![b' '; 5 << 20].into()));
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

#[tokio::test]
async fn tokens_are_fetched_and_renewed() -> Result<()> {
    let (registry, image, reference) = served()?;
    registry.set_access(Access::AnonymousToken);
    registry.script(&image.layers[0].digest, Some(1), Fault::CutAfter(1000));
    Node::new()?.pull(&reference).await?;
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
    for to in ["http://169.254.169.254/latest", "http://[fe80::1]/", "file:///etc/passwd", "http://u:p@127.0.0.1:1/", "//"] {
        let (registry, _, reference) = served()?;
        registry.script("/blobs/", None, Fault::RedirectExactly(to.to_owned()));
        let (class, _, _) = Node::new()?.refused(&reference).await?;
        ensure!(matches!(class, Class::PermissionDenied | Class::DataLoss), "{to}: {class}");
    }
    let (registry, _, reference) = served()?;
    registry.script("/manifests/", None, Fault::RedirectTo(format!("http://{}", registry.host())));
    assert_eq!(Node::new()?.refused(&reference).await?.1, "RegistryMalformed");
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
    std::fs::create_dir_all(node.directory.path().join(format!("sha256/{}.partial/rootfs", digest(b"x").trim_start_matches("sha256:"))))?;
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

#[tokio::test]
async fn a_full_disk_is_told_and_not_kept_full() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small tmpfs needs root");
        return Ok(());
    }
    let registry = ScriptedRegistry::start()?;
    let zeros = vec![0; 6 << 20];
    registry.add("unpacks", "v1", &Image::builder().layer(layer().file("zeros", 0o644, &zeros)).build());
    registry.add("packed", "v1", &Image::builder().layer(layer().file("noise", 0o644, noise(6 << 20))).build());
    let halves = || layer().file("noise", 0o644, noise(3 << 20));
    registry.add("fits-not-both", "v1", &Image::builder().layer(halves()).build());
    let directory = tempfile::tempdir()?;
    let mount = SmallDisk::mount(directory.path(), 4 << 20)?;
    let node = Node { store: open(directory.path(), |_| {}, |_| {})?, directory, words: Arc::default() };
    for name in ["unpacks:v1", "packed:v1", "fits-not-both:v1"] {
        let (class, reason, hint) = node.refused(&registry.reference(name)).await?;
        assert_eq!((class, reason), (Class::ResourceExhausted, "DiskFull"), "{name}");
        ensure!(hint.contains("free some space"), "{hint}");
        assert_eq!((node.left("sha256").len(), node.left("blobs/sha256").len()), (0, 0), "{name} left something");
    }
    registry.add("small", "v1", &Image::builder().layer(layer().file("a", 0o644, "a")).build());
    node.pull(&registry.reference("small:v1")).await?;
    drop(mount);
    Ok(())
}

/// A tmpfs of a few megabytes; goes with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, bytes: usize) -> Result<Self> {
        let options = std::ffi::CString::new(format!("size={bytes}"))?;
        rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::NODEV, options.as_c_str())?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).expect("unmount");
    }
}
