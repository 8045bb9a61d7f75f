//! The whole suite as a user has it: the real `crannog server` on a data directory of its own, and the real command line.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::leaks;

/// What a command line printed and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; 128 + signal when one ended it.
    pub code: i32,
}

impl Said {
    /// Standard output of a command that must succeed.
    pub fn ok(self) -> anyhow::Result<String> {
        if self.code != 0 {
            bail!("exit code {}: {}{}", self.code, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }
}

/// A running server. Suites of one machine run one after another: they share its network rules and cgroups.
pub struct Suite {
    scratch: Option<tempfile::TempDir>,
    server: Option<Child>,
    crannog: PathBuf,
    supervisor: PathBuf,
    config: Option<PathBuf>,
    instances: Mutex<BTreeSet<String>>,
    _turn: Turn,
}

impl Suite {
    /// Starts one; `None`, with the reason printed, where this machine cannot run workspaces.
    pub fn start() -> anyhow::Result<Option<Self>> {
        if !nix_is_root() {
            println!("skipped: workspaces need root; run `cargo xtask test`, which asks for it by sudo");
            return Ok(None);
        }
        let crannog = program("CRANNOG_BIN", "crannog")?;
        let supervisor = program("CRANNOG_SUPERVISOR", "supervisor")?;
        let turn = Turn::take()?;
        let scratch = tempfile::Builder::new().prefix("crannog-suite-").tempdir()?;
        let mut suite = Self {
            scratch: Some(scratch),
            server: None,
            crannog,
            supervisor,
            config: None,
            instances: Mutex::default(),
            _turn: turn,
        };
        suite.start_server()?;
        Ok(Some(suite))
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.scratch.as_ref().map_or_else(PathBuf::new, |scratch| scratch.path().join("data"))
    }

    /// Names a configuration file for the next start of the server.
    pub fn configure(&mut self, file: &Path) {
        self.config = Some(file.to_owned());
    }

    /// Starts the server, also after it was stopped or killed, and waits until it answers.
    pub fn start_server(&mut self) -> anyhow::Result<()> {
        let data = self.data();
        let _ = std::fs::remove_file(data.join("client.json"));
        let log = File::options().create(true).append(true).open(data.with_extension("log"))?;
        let mut command = Command::new(&self.crannog);
        command.args(["server", "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0", "--data"]).arg(&data);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.env("CRANNOG_SUPERVISOR", &self.supervisor).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(command.spawn().context("start crannog server")?);
        let answers = |suite: &mut Self| {
            if let Some(status) = suite.server.as_mut().and_then(|server| server.try_wait().ok().flatten()) {
                bail!("the server ended with {status}:\n{}", suite.log());
            }
            Ok((data.join("client.json").exists() && suite.run(["list"]).code == 0).then_some(()))
        };
        self.until("the server answers", Duration::from_secs(20), answers)
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().with_extension("log")).unwrap_or_default()
    }

    /// Kills the server as a crash would; instances go on.
    pub fn kill_server(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
            server.wait()?;
        }
        Ok(())
    }

    /// Asks the server to end, as systemd would, and waits.
    pub fn stop_server(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            Command::new("kill").arg(server.id().to_string()).status()?;
            server.wait()?;
        }
        Ok(())
    }

    /// A `crannog` command for this server.
    pub fn crannog<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.crannog);
        command.arg("--data").arg(self.data()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command line to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        let said = said(&mut self.crannog(arguments));
        self.instances();
        said
    }

    /// Every instance that was seen in the data directory so far: what the leak check looks for.
    fn instances(&self) -> BTreeSet<String> {
        let there = std::fs::read_dir(self.data().join("node/instances")).into_iter().flatten().flatten();
        let mut seen = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(there.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        seen.clone()
    }

    /// What a command prints as JSON.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<Value> {
        let text = self.run(arguments).ok()?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// Waits for a condition; what it still waited for is said when the time is over.
    pub fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = condition(self)? {
                return Ok(value);
            }
            if Instant::now() > deadline {
                bail!("after {limit:?} still not so: {what}\n{}", tail(&self.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Deletes every workspace, ends the server, and says what was left behind on the machine.
    pub fn end(mut self) -> anyhow::Result<()> {
        for workspace in self.json(["list", "-o", "json"])?.as_array().into_iter().flatten() {
            self.run(["delete", workspace["id"].as_str().unwrap_or_default()]).ok()?;
        }
        let (data, instances) = (self.data(), self.instances());
        let look = |_: &mut Self| Ok(leaks::of_workspaces(&data, &instances).is_empty().then_some(()));
        let _ = self.until("nothing of a workspace is left", Duration::from_secs(10), look);
        let mut left = leaks::of_workspaces(&data, &instances);
        self.stop_server()?;
        left.extend(leaks::of_server(&data, &instances));
        if !left.is_empty() {
            bail!("left behind:\n{}\n{}", left.join("\n"), tail(&self.log()));
        }
        Ok(())
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        let data = self.data();
        if self.server.is_some() {
            for workspace in self.json(["list", "-o", "json"]).unwrap_or_default().as_array().into_iter().flatten() {
                self.run(["delete", workspace["id"].as_str().unwrap_or_default()]);
            }
        }
        let _ = self.stop_server();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", tail(&self.log()));
        }
        leaks::clean(&data, &self.instances());
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    use std::os::unix::process::ExitStatusExt as _;
    match command.output() {
        Ok(output) => Said {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        },
        Err(error) => Said { stdout: String::new(), stderr: error.to_string(), code: -1 },
    }
}

fn nix_is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn program(variable: &str, name: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).unwrap_or(Path::new("target"));
    let musl = target.join(format!("{}-unknown-linux-musl/dist", std::env::consts::ARCH)).join(name);
    let found = [musl, target.join("debug").join(name)].into_iter().find(|path| path.exists());
    found.with_context(|| format!("{name} is not built, or {variable} does not name it: run `cargo xtask test`"))
}

/// Holds the machine's turn until it is dropped.
struct Turn(File);

impl Turn {
    fn take() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join("crannog-suite.lock");
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
