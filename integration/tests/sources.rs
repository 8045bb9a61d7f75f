//! Every kind of SOURCE: hosts beyond the machine over HTTP, git:// and ssh; directories; bundles.

use std::process::{Child, Stdio};
use std::time::Duration;

use testkit::git::Fixture;
use testkit::git::http::{HttpHost, Mode};
use testkit::suite::{Said, Suite};
use testkit::world::World;

/// A Git host in a network namespace, with the usual repository as `usual.git`.
struct Host {
    runtime: tokio::runtime::Runtime,
    world: World,
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        Fixture::usual()?.publish(&folder.path().join("usual.git"))?;
        // A daemon of another user reads it too.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self { runtime: tokio::runtime::Runtime::new()?, world: World::new()?, folder })
    }

    fn http(&self, mode: Mode) -> anyhow::Result<HttpHost> {
        let (listener, _) = self.world.listen()?;
        let _inside = self.runtime.enter();
        HttpHost::on(tokio::net::TcpListener::from_std(listener)?, self.folder.path(), mode)
    }
}

fn branch(suite: &Suite, name: &str) -> anyhow::Result<String> {
    Ok(suite.run(["exec", name, "--", "git", "branch", "--show-current"]).ok()?.trim().to_owned())
}

fn refused(said: &Said, code: i32, word: &str) {
    assert!(
        said.code == code && said.stderr.contains(word) && said.stderr.contains("what to do:"),
        "expected {code} and '{word}': {said:?}"
    );
}

#[test]
fn a_url_is_cloned_at_its_default_branch_or_at_what_follows_the_hash() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let host = Host::new()?;
    let http = host.http(Mode::Open)?;
    let url = http.url("usual.git");
    suite.run(["start", &url, "--name", "head", "--image", "host"]).ok()?;
    assert_eq!(branch(&suite, "head")?, "main");
    let origin = suite.run(["exec", "head", "--", "git", "remote", "get-url", "origin"]).ok()?;
    assert_eq!(origin.trim(), url);
    assert_eq!(suite.run(["exec", "head", "--", "git", "fetch", "origin"]).code, 0, "the host is reached from inside");
    suite.run(["start", &format!("{url}#feature/with/slashes"), "--name", "feature", "--image", "host"]).ok()?;
    assert_eq!(branch(&suite, "feature")?, "feature/with/slashes");
    suite.run(["start", &format!("{url}#v1.0"), "--name", "tag", "--image", "host"]).ok()?;
    let described = suite.run(["exec", "tag", "--", "git", "describe", "--tags", "--exact-match"]).ok()?;
    assert_eq!((described.trim(), branch(&suite, "tag")?.as_str()), ("v1.0", ""));
    let commit = suite.json(["show", "feature", "-o", "json"])?["commit"].as_str().unwrap_or_default().to_owned();
    suite.run(["start", &format!("{url}#{commit}"), "--name", "commit", "--image", "host"]).ok()?;
    assert_eq!(suite.run(["exec", "commit", "--", "git", "rev-parse", "HEAD"]).ok()?.trim(), commit);
    suite.end()
}

#[test]
fn what_a_host_does_not_have_or_does_not_give_is_said() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let host = Host::new()?;
    let (open, closed, broken) = (
        host.http(Mode::Open)?,
        host.http(Mode::Basic { user: "u".into(), password: "p".into() })?,
        host.http(Mode::Refuse(500))?,
    );
    let start = |source: &str| suite.run(["start", source, "--image", "host"]);
    refused(&start(&format!("{}#no-such-branch", open.url("usual.git"))), 3, "no-such-branch");
    refused(&start(&format!("{}#{}", open.url("usual.git"), "0123456789".repeat(4))), 3, "0123456789");
    refused(&start(&open.url("gone.git")), 3, "gone.git");
    refused(&start(&closed.url("usual.git")), 5, "");
    refused(&start(&broken.url("usual.git")), 10, "");
    assert!(closed.seen().iter().all(|request| !request.has_credentials()));
    suite.end()
}

/// A process that ends with the story.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_git_protocol_is_spoken_and_ssh_without_a_key_says_so() -> anyhow::Result<()> {
    let Some(mut suite) = Suite::start()? else { return Ok(()) };
    let host = Host::new()?;
    let folder = host.folder.path().to_string_lossy().into_owned();
    let mut daemon = host.world.command("git");
    daemon.args(["-c", "safe.directory=*", "daemon", "--export-all", "--reuseaddr", &format!("--base-path={folder}"), &folder]);
    let _daemon = Running(daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let url = format!("git://{}/usual.git", host.world.address());
    suite.until("it is cloned", Duration::from_secs(20), |suite| {
        Ok((suite.run(["start", &url, "--name", "git", "--image", "host"]).code == 0).then_some(()))
    })?;
    assert_eq!(branch(&suite, "git")?, "main");

    let keys = tempfile::tempdir()?;
    let key = keys.path().join("host").to_string_lossy().into_owned();
    let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status();
    if made.is_ok_and(|status| status.success()) && std::path::Path::new("/usr/sbin/sshd").exists() {
        std::fs::create_dir_all("/run/sshd")?;
        let mut sshd = host.world.command("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", "/dev/null", "-h", &key, "-p", "2222", "-o", "PidFile=none"]);
        let _sshd = Running(sshd.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let url = format!("ssh://git@{}:2222{folder}/usual.git", host.world.address());
        suite.until("sshd asks for a key", Duration::from_secs(20), |suite| {
            let said = suite.run(["start", &url, "--image", "host"]);
            Ok((said.code == 5 && said.stderr.contains("what to do:")).then_some(()))
        })?;
    } else {
        println!("skipped: there is no sshd here; `apt-get install openssh-server` would make this run");
    }
    suite.end()
}

#[test]
fn a_directory_comes_at_its_head_and_with_its_changes_where_asked() -> anyhow::Result<()> {
    let Some(suite) = Suite::start()? else { return Ok(()) };
    let repository = integration::repository(&[("kept", "one\n"), ("gone", "two\n"), ("bin/tool", "#!/bin/sh\necho tool\n")])?;
    let path = repository.path();
    integration::git(path, &["remote", "add", "origin", "https://user:secret@example.com/o/app.git"])?;
    std::fs::write(path.join("kept"), "changed\n")?;
    std::fs::write(path.join("new"), "new\n")?;
    std::fs::remove_file(path.join("gone"))?;
    let source = path.to_string_lossy().into_owned();
    let said = suite.run(["start", &source, "--name", "clean", "--image", "host"]);
    assert!(said.code == 0 && said.stderr.contains("3 uncommitted changes stay here"), "{said:?}");
    assert_eq!(suite.run(["exec", "clean", "--", "git", "status", "--porcelain"]).ok()?, "");
    let origin = suite.run(["exec", "clean", "--", "git", "remote", "get-url", "origin"]).ok()?;
    assert_eq!(origin.trim(), "https://example.com/o/app.git", "origin is kept, its secret is not");
    suite.run(["start", &source, "--name", "dirty", "--with-changes", "--image", "host"]).ok()?;
    let mut status: Vec<String> =
        suite.run(["exec", "dirty", "--", "git", "status", "--porcelain"]).ok()?.lines().map(str::to_owned).collect();
    status.sort();
    assert_eq!(status, [" D gone", " M kept", "?? new"]);
    assert_eq!(suite.run(["exec", "dirty", "--", "cat", "kept", "new"]).ok()?, "changed\nnew\n");
    suite.end()
}
