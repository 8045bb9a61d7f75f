//! A Git bundle of a local directory, made without writing anything into the user's repository: objects for the
//! uncommitted changes go to a scratch repository that borrows the user's objects.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use domain::class::Class;

use crate::error::CommandError;

/// The ref that holds the uncommitted changes as one commit on top of HEAD.
pub const CHANGES_REF: &str = "refs/crannog/changes";

/// A bundle and what is known of it.
pub struct Made {
    /// The bundle.
    pub file: PathBuf,
    /// Commit of HEAD.
    pub commit: String,
    /// Full name of the branch; empty when HEAD is detached.
    pub branch: String,
    /// `CHANGES_REF` when changes come along.
    pub changes_ref: String,
    /// How many files have uncommitted changes.
    pub uncommitted: usize,
    /// URL of `origin` without credentials; empty for none.
    pub origin: String,
    /// What to show: "/home/me/app (local)".
    pub display: String,
}

/// Whether a file begins as a Git bundle does (gitformat-bundle(5)).
pub fn is_bundle(path: &Path) -> Result<bool, CommandError> {
    let mut head = [0; 12];
    let mut file = std::fs::File::open(path).map_err(CommandError::io(format!("read {}", path.display())))?;
    let _ = file.read(&mut head);
    Ok(head.starts_with(b"# v2 git bun") || head.starts_with(b"# v3 git bun"))
}

/// Makes a bundle of the repository that `directory` lies in, at its HEAD.
pub fn make(directory: &Path, scratch: &Path, with_changes: bool) -> Result<Made, CommandError> {
    let repository = Repository::open(directory)?;
    let borrowed = scratch.join("borrowed.git");
    repository.borrow_into(&borrowed)?;
    let changes_ref =
        if with_changes && repository.uncommitted > 0 { repository.commit_changes(&borrowed)? } else { String::new() };
    let file = scratch.join("source.bundle");
    let mut refs = vec!["HEAD".to_owned()];
    refs.extend([&repository.branch, &changes_ref].into_iter().filter(|name| !name.is_empty()).cloned());
    refs.extend(repository.tags()?);
    let mut bundle = git(&borrowed);
    bundle.args(["bundle", "create", "--quiet"]).arg(&file).args(&refs);
    run(&mut bundle, "bundle the repository")?;
    let display = format!("{} (local)", repository.top.display());
    let Repository { commit, branch, uncommitted, origin, .. } = repository;
    Ok(Made { file, commit, branch, changes_ref, uncommitted, origin, display })
}

struct Repository {
    top: PathBuf,
    git_dir: PathBuf,
    commit: String,
    branch: String,
    uncommitted: usize,
    origin: String,
}

impl Repository {
    fn open(directory: &Path) -> Result<Self, CommandError> {
        let ask = |args: &[&str]| -> Result<String, CommandError> { run(git(directory).args(args), "read the repository") };
        let top = ask(&["rev-parse", "--show-toplevel"]).map_err(|_| {
            let message = format!("{} is not in a Git repository", directory.display());
            CommandError::here(Class::InvalidArgument, message, "run `git init` and commit there, or name a Git URL")
        })?;
        let commit = ask(&["rev-parse", "--verify", "HEAD^{commit}"]).map_err(|_| {
            CommandError::here(
                Class::FailedPrecondition,
                format!("the repository at {top} has no commit yet"),
                "commit something first: git add -A && git commit",
            )
        })?;
        if ask(&["rev-parse", "--is-shallow-repository"])? == "true" {
            let message = format!("the repository at {top} is a shallow clone: its history is not all here");
            return Err(CommandError::here(Class::FailedPrecondition, message, "fetch the rest first: git fetch --unshallow"));
        }
        let git_dir = PathBuf::from(ask(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?);
        let branch = ask(&["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
        let uncommitted = ask(&["status", "--porcelain", "--untracked-files=normal"])?.lines().count();
        let origin = without_credentials(&ask(&["remote", "get-url", "origin"]).unwrap_or_default());
        Ok(Self { top: top.into(), git_dir, commit, branch, uncommitted, origin })
    }

    /// A bare repository that reads the user's objects and has the same HEAD, branch and tags.
    fn borrow_into(&self, borrowed: &Path) -> Result<(), CommandError> {
        run(Command::new("git").args(["init", "--quiet", "--bare", "--template="]).arg(borrowed), "make a scratch repository")?;
        let objects = self.git_dir.join("objects");
        let info = borrowed.join("objects/info");
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&info)?;
            std::fs::write(info.join("alternates"), format!("{}\n", objects.display()))?;
            std::fs::create_dir_all(borrowed.join("info"))?;
            if let Ok(exclude) = std::fs::read(self.git_dir.join("info/exclude")) {
                std::fs::write(borrowed.join("info/exclude"), exclude)?;
            }
            Ok(())
        };
        write().map_err(CommandError::io("write a scratch repository"))?;
        if self.branch.is_empty() {
            run(git(borrowed).args(["update-ref", "--no-deref", "HEAD", &self.commit]), "set HEAD")?;
        } else {
            run(git(borrowed).args(["update-ref", &self.branch, &self.commit]), "set the branch")?;
            run(git(borrowed).args(["symbolic-ref", "HEAD", &self.branch]), "set HEAD")?;
        }
        for tag in self.tags()? {
            let id = run(git(&self.top).args(["rev-parse", &tag]), "read a tag")?;
            run(git(borrowed).args(["update-ref", &tag, &id]), "set a tag")?;
        }
        Ok(())
    }

    /// Tags on the way to HEAD: builds that ask `git describe` want them; others would bring foreign history along.
    fn tags(&self) -> Result<Vec<String>, CommandError> {
        let listed =
            run(git(&self.top).args(["for-each-ref", "--merged", "HEAD", "--format=%(refname)", "refs/tags"]), "list tags")?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn commit_changes(&self, borrowed: &Path) -> Result<String, CommandError> {
        let doing = "take the uncommitted changes along";
        let in_scratch = || {
            let mut command = git(&self.top);
            command
                .env("GIT_DIR", borrowed)
                .env("GIT_WORK_TREE", &self.top)
                .env("GIT_INDEX_FILE", borrowed.join("changes.index"));
            for (name, value) in [("NAME", "Crannog"), ("EMAIL", "crannog@localhost")] {
                command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
            }
            command.args(["-c", "core.bare=false", "-c", "core.hooksPath=/dev/null", "-c", "core.safecrlf=false"]);
            command
        };
        run(in_scratch().args(["read-tree", "HEAD"]), doing)?;
        run(in_scratch().args(["add", "--all", "."]), doing)?;
        let tree = run(in_scratch().arg("write-tree"), doing)?;
        let commit = run(in_scratch().args(["commit-tree", &tree, "-p", "HEAD", "-m", "uncommitted changes"]), doing)?;
        run(in_scratch().args(["update-ref", CHANGES_REF, &commit]), doing)?;
        Ok(CHANGES_REF.into())
    }
}

fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(directory)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE");
    command
}

fn run(command: &mut Command, doing: &str) -> Result<String, CommandError> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            CommandError::here(Class::FailedPrecondition, "git is not installed here", "install it: apt-get install git")
        }
        _ => CommandError::io(doing)(error),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let unsafe_owner = why.contains("dubious ownership");
    let hint = if unsafe_owner { "the directory belongs to another user; git says how to trust it" } else { "" };
    Err(CommandError::here(Class::FailedPrecondition, format!("git could not {doing}: {why}"), hint))
}

/// `https://user:token@host/x` → `https://host/x`: a token never leaves this machine with a source.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
