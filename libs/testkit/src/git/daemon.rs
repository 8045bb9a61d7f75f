//! A Git host over `git://`: git-daemon(1) on loopback.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon that serves until it is dropped.
pub struct GitDaemon {
    port: u16,
    child: Child,
}

impl GitDaemon {
    /// Serves every repository below `root`.
    pub fn serve(root: &Path) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // The program itself, not the `git` in front of it: what is killed is then what serves.
        let path = super::git(Path::new("/"), ["--exec-path"], b"")?;
        let child = Command::new(Path::new(&path).join("git-daemon"))
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", root.display()))
            .arg(root)
            .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start git daemon")?;
        let daemon = Self { port, child };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(began.elapsed() < PATIENCE, "git daemon does not listen on {port}");
            std::thread::yield_now();
        }
        Ok(daemon)
    }

    /// URL of one of its repositories.
    pub fn url(&self, path: &str) -> String {
        format!("git://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
