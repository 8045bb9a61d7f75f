//! Commands in a workspace, and its restart, beside runc with a busybox container.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Side, compare, quiet};
use crate::build::Built;
use crate::setup;
use crate::up::server::Server;

/// Runs `exec`, `restart` or both.
pub fn run(built: &Built, only: Option<&str>) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("crannog-bench-").tempdir()?;
    let server = Server::start(built, &scratch.path().join("data"))?;
    let outcome = measure(&server, scratch.path(), only);
    let stopped = server.stop_everything();
    setup::run(
        setup::as_root("the temporary data directory is removed", "rm").arg("-rf").arg("--").arg(scratch.path().join("data")),
    )?;
    outcome.and(stopped)
}

fn measure(server: &Server, scratch: &Path, only: Option<&str>) -> anyhow::Result<()> {
    let repository = scratch.join("repository");
    std::fs::create_dir(&repository)?;
    let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
    quiet(Command::new("git").args(["init", "-q", "-b", "main"]).arg(&repository))?;
    quiet(Command::new("git").arg("-C").arg(&repository).args(identity).args(["commit", "-q", "--allow-empty", "-m", "first"]))?;
    quiet(server.crannog(["start", "--name", "bench", "--image", "host"]).arg(&repository))?;
    let peer = Runc::new(scratch)?;
    if only != Some("restart") {
        exec(server, &peer)?;
    }
    if only != Some("exec") {
        restart(server, &peer)?;
    }
    Ok(())
}

fn exec(server: &Server, peer: &Runc) -> anyhow::Result<()> {
    quiet(peer.command(&["run", "--detach", "--bundle"]).arg(&peer.bundle).arg("bench"))?;
    let ours = || quiet(&mut server.crannog(["exec", "bench", "--", "/bin/true"]));
    let theirs = || quiet(peer.command(&["exec", "bench", "/bin/true"]).current_dir(&peer.bundle));
    let note = "a whole command line each: connect, run /bin/true inside, exit status back; ours through the API, runc directly";
    let outcome = compare("exec", note, &Side { label: "crannog exec", run: &ours }, &Side { label: "runc exec", run: &theirs });
    quiet(peer.command(&["delete", "--force", "bench"]).current_dir(&peer.bundle))?;
    outcome
}

fn restart(server: &Server, peer: &Runc) -> anyhow::Result<()> {
    let ours = || quiet(&mut server.crannog(["restart", "bench"]));
    let theirs = || {
        quiet(peer.command(&["run", "--detach", "--bundle"]).arg(&peer.bundle).arg("again"))?;
        quiet(peer.command(&["delete", "--force", "again"]).current_dir(&peer.bundle))
    };
    let note = "ours: drain, keep, unmount, then network, user namespace, overlay, supervisor, worktree read; runc: delete and run, none of these";
    compare("restart", note, &Side { label: "crannog restart", run: &ours }, &Side { label: "runc delete + run", run: &theirs })
}

/// A busybox container under runc.
struct Runc {
    bundle: PathBuf,
    state: PathBuf,
}

impl Runc {
    fn new(scratch: &Path) -> anyhow::Result<Self> {
        let (bundle, state) = (scratch.join("bundle"), scratch.join("runc"));
        let bin = bundle.join("rootfs/bin");
        std::fs::create_dir_all(&bin)?;
        let busybox = setup::find("busybox").context("busybox is not installed")?;
        std::fs::copy(busybox, bin.join("busybox")).context("copy busybox")?;
        for applet in ["true", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet))?;
        }
        quiet(Command::new("runc").args(["spec", "--bundle"]).arg(&bundle))?;
        let config = bundle.join("config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&config)?)?;
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["/bin/sleep", "3600"]);
        std::fs::write(&config, serde_json::to_vec(&spec)?)?;
        Ok(Self { bundle, state })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state).args(arguments);
        command
    }
}
