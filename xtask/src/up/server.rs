//! The server of `cargo xtask up`, and the command line that talks to it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::build::Built;
use crate::setup;

/// A running `crannog server`.
pub struct Server {
    child: std::cell::RefCell<Child>,
    crannog: PathBuf,
    data: PathBuf,
}

impl Server {
    /// Starts it on a data directory, and waits until it answers.
    pub fn start(built: &Built, data: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("make {}", data.display()))?;
        let log = data.with_extension("log");
        let output = std::fs::File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let why = "the server makes containers: namespaces, mounts and network rules";
        let mut command = setup::as_root(why, &built.crannog);
        command.args(["server", "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0", "--data"]).arg(data);
        command.env("CRANNOG_SUPERVISOR", &built.supervisor).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // A process group of its own: Ctrl-C reaches us alone, and we stop workspaces before the server.
        if setup::is_root() {
            command.process_group(0);
        }
        let _ = std::fs::remove_file(data.join("client.json"));
        let child = command.spawn().context("start crannog server")?;
        let server = Self { child: child.into(), crannog: built.crannog.clone(), data: data.to_owned() };
        server.wait_until_it_answers(&log)?;
        Ok(server)
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn wait_until_it_answers(&self, log: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if self.data.join("client.json").exists() && self.json(["list", "-o", "json"]).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.borrow_mut().try_wait()? {
                bail!("crannog server ended with {status}:\n{}", std::fs::read_to_string(log).unwrap_or_default());
            }
            if Instant::now() > deadline {
                self.terminate()?;
                bail!("crannog server does not answer after 30 s:\n{}", std::fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A `crannog` command for this server.
    pub fn crannog<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.crannog);
        command.arg("--data").arg(&self.data).args(arguments);
        command
    }

    /// What a command prints as JSON.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Value> {
        let output = self.crannog(arguments).output().context("run crannog")?;
        if !output.status.success() {
            bail!("crannog: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("read what crannog printed")
    }

    /// Every workspace.
    pub fn workspaces(&self) -> anyhow::Result<Vec<Value>> {
        let list = self.json(["list", "-o", "json"])?;
        Ok(list.as_array().cloned().unwrap_or_default())
    }

    /// Stops all workspaces, which keeps what they wrote, and then the server.
    pub fn stop_everything(&self) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        for workspace in self.workspaces()?.iter().filter(|w| w["phase"] != "stopped") {
            let name = workspace["name"].as_str().unwrap_or_default();
            if !self.crannog(["stop", name]).stdout(Stdio::null()).status()?.success() {
                failed.push(name.to_owned());
            }
        }
        self.terminate()?;
        if !failed.is_empty() {
            bail!("could not stop {}", failed.join(", "));
        }
        Ok(())
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let mut child = self.child.borrow_mut();
        let pid = child.id().to_string();
        if child.try_wait()?.is_none() {
            let _ = setup::as_root("the server is stopped", "kill").arg(&pid).status();
        }
        child.wait().context("wait for the server")?;
        Ok(())
    }
}
