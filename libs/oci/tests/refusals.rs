//! Stories of images that cannot be had: each says why, and leaves nothing behind.

#[path = "node/node.rs"]
#[allow(dead_code, reason = "shared by the stories of this directory, none of which uses all")]
mod node;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use domain::class::Class;
use node::{Node, layer, noise, open, served};
use testkit::images::{Image, Layer, Packing, digest};
use testkit::registry::{Fault, ScriptedRegistry};

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
async fn web_pages_and_too_large_manifests_are_no_images() -> Result<()> {
    let (registry, _, reference) = served()?;
    registry.script("/manifests/", Some(1), Fault::Instead("text/html", "<html>log in</html>".into()));
    assert_eq!(Node::new()?.refused(&reference).await?.1, "ManifestMalformed");
    registry.script("/manifests/", Some(1), Fault::Instead("application/json", vec![b' '; 5 << 20].into()));
    assert_eq!(Node::new()?.refused(&reference).await?.1, "RegistryMalformed");
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
