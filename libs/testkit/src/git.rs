//! Git for tests: repositories made on the spot ([`Fixture`]), repositories no honest tool makes ([`hostile`]), and hosts
//! that serve them over HTTP ([`http`]) and `git://` ([`daemon`]).

pub mod daemon;
pub mod hostile;
pub mod http;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A repository with a worktree, in a directory of its own. Dates and names are fixed, so commits have the same ids in
/// every run.
pub struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// An empty one, on branch `main`.
    pub fn new() -> anyhow::Result<Self> {
        let fixture = Self { directory: tempfile::tempdir()? };
        fixture.git(["init", "--quiet", "--initial-branch=main", "."])?;
        Ok(fixture)
    }

    /// One with files, a branch with slashes in its name, a pull request and an annotated tag.
    pub fn usual() -> anyhow::Result<Self> {
        let fixture = Self::new()?;
        fixture.write("README.md", "# usual\n")?;
        fixture.write("src/main.sh", "echo one\n")?;
        fixture.commit("first")?;
        fixture.git(["tag", "-a", "-m", "one", "v1.0"])?;
        fixture.git(["checkout", "--quiet", "-b", "feature/with/slashes"])?;
        fixture.write("src/main.sh", "echo two\n")?;
        fixture.commit("on the feature")?;
        fixture.git(["checkout", "--quiet", "--detach", "main"])?;
        fixture.write("patch", "from a fork\n")?;
        let proposal = fixture.commit("proposal")?;
        fixture.git(["update-ref", "refs/pull/7/head", &proposal])?;
        fixture.git(["checkout", "--quiet", "main"])?;
        fixture.write(".gitpod.yml", "tasks:\n  - init: make\n")?;
        fixture.commit("second")?;
        Ok(fixture)
    }

    /// The worktree.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of the worktree.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.path().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text).context("write a file of the fixture")
    }

    /// Commits everything in the worktree; the commit's id.
    pub fn commit(&self, message: &str) -> anyhow::Result<String> {
        self.git(["add", "--all", "."])?;
        self.git(["commit", "--quiet", "--allow-empty", "-m", message])?;
        self.git(["rev-parse", "HEAD"])
    }

    /// Runs Git in the worktree; what it printed.
    pub fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
        git(self.path(), args, b"")
    }

    /// Writes an object that need not be sound; its id.
    pub fn object(&self, kind: &str, bytes: &[u8]) -> anyhow::Result<String> {
        git(self.path(), ["hash-object", "-t", kind, "-w", "--literally", "--stdin"], bytes)
    }

    /// Writes a tree of (mode, name, object), as given: no sorting, no check of names.
    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        for (mode, name, object) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend(hex::decode(object).context("an object id")?);
        }
        self.object("tree", &bytes)
    }

    /// Makes a commit of a tree, on `main`.
    pub fn commit_tree(&self, tree: &str) -> anyhow::Result<String> {
        let commit = self.git(["commit-tree", "-m", "by hand", tree])?;
        self.git(["update-ref", "refs/heads/main", &commit])?;
        Ok(commit)
    }

    /// A bare copy with every ref, as a host has it: it may leave blobs out and gives commits out by id.
    pub fn publish(&self, path: &Path) -> anyhow::Result<()> {
        let text = path.to_str().context("a path in UTF-8")?;
        git(Path::new("/"), ["init", "--quiet", "--bare", "--initial-branch=main", text], b"")?;
        for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.uploadpack"] {
            git(path, ["config", setting, "true"], b"")?;
        }
        // Objects and refs as they are: a push would look into what it sends.
        copy(&self.path().join(".git/objects"), &path.join("objects"))?;
        let refs = self.git(["for-each-ref", "--format=%(objectname) %(refname)"])?;
        let refs: String = refs.lines().map(|line| format!("{line}\n")).collect();
        std::fs::write(path.join("packed-refs"), refs).context("write packed-refs")
    }

    /// A bundle of every ref.
    pub fn bundle(&self, path: &Path, refs: &[&str]) -> anyhow::Result<()> {
        let path = path.to_str().context("a path in UTF-8")?;
        self.git(["bundle", "create", "--quiet", path].into_iter().chain(refs.iter().copied())).map(drop)
    }
}

/// Runs Git without the configuration of whoever runs the tests; what it printed, without the last line's end.
pub fn git<'a>(directory: &Path, args: impl IntoIterator<Item = &'a str>, stdin: &[u8]) -> anyhow::Result<String> {
    let args: Vec<&str> = args.into_iter().collect();
    let mut child = command(directory).args(&args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin")?.write_all(stdin)?;
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(directory).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for (index, (key, value)) in [("safe.directory", "*"), ("core.autocrlf", "false")].iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command.env("GIT_CONFIG_COUNT", "2");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Test").env(format!("GIT_{who}_EMAIL"), "test@example.org");
        command.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
    }
    command
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else if !to.exists() {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
