//! Against a registry that we did not write: Debian's `docker-registry`.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use oci::registry::{Client, Options};
use oci::store::{ImageStore, Progress, StoreOptions};
use testkit::images::{Busybox, busybox, find_busybox, push};

struct Registry {
    child: Child,
    host: String,
}

impl Registry {
    /// Starts one on a free port, with its data in `directory`; `None` where the package is not installed.
    fn start(directory: &Path) -> Result<Option<Self>> {
        let host = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {host}\n",
            directory.display()
        );
        let path = directory.join("config.yml");
        std::fs::write(&path, config)?;
        let started = Command::new("docker-registry").arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match started {
            Ok(child) => Ok(Some(Self { child, host }.answering()?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("start docker-registry"),
        }
    }

    fn answering(mut self) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&self.host).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("docker-registry ended with {status}");
            }
            ensure!(Instant::now() < deadline, "docker-registry does not listen on {}", self.host);
            std::thread::yield_now();
        }
        Ok(self)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_busybox_image_is_pushed_to_and_pulled_from_debians_registry() -> Result<()> {
    let (data, images) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let Some(program) = find_busybox() else {
        return Ok(());
    };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: an image owned by root is unpacked by root only");
        return Ok(());
    }
    let Some(registry) = Registry::start(data.path())? else {
        println!("skipped: there is no docker-registry here; `apt-get install docker-registry` would make this run");
        return Ok(());
    };
    let image = busybox(&program, &Busybox::default())?.build();
    let digest = push(&registry.host, "test/busybox", "1", &image).await?;

    let client = Client::new(Options { docker_config: None, ..Options::default() })?;
    let store = ImageStore::open(images.path(), client, StoreOptions::default())?;
    let quiet: Progress = Arc::new(|_, _, _| {});
    let pulled = store.pull(&format!("{}/test/busybox:1", registry.host).parse()?, &quiet).await?;
    assert_eq!((pulled.digest.to_string(), pulled.hit), (digest, false));
    let said =
        Command::new("chroot").arg(&pulled.rootfs).args(["/bin/sh", "-c", "echo hello from $(busybox uname -s)"]).output()?;
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello from Linux\n", "{}", String::from_utf8_lossy(&said.stderr));

    let missing = store.pull(&format!("{}/test/busybox:2", registry.host).parse()?, &quiet).await.expect_err("no such tag");
    assert_eq!(domain::class::Classify::reason(&missing), "ImageNotFound");
    Ok(())
}
