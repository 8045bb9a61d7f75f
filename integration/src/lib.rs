//! What the stories of this crate share: small repositories, and the corpus of real ones where it lies beside us.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// A Git repository with one commit on `main` that holds these files.
pub fn repository(files: &[(&str, &str)]) -> anyhow::Result<tempfile::TempDir> {
    let directory = tempfile::Builder::new().prefix("app-").tempdir()?;
    git(directory.path(), &["init", "--quiet", "--initial-branch=main"])?;
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        std::fs::write(path, text)?;
    }
    git(directory.path(), &["add", "--all"])?;
    git(directory.path(), &["commit", "--quiet", "--allow-empty", "--message", "first"])?;
    Ok(directory)
}

/// Runs git in a directory, as nobody in particular; answers what it printed.
pub fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    for (name, value) in [("NAME", "Story"), ("EMAIL", "story@localhost")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = command.output().context("run git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A repository of the corpus as a Git bundle; `None`, said, where the corpus is not beside this repository.
pub fn corpus_bundle(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/repos").join(format!("{name}.bundle"));
    if !path.is_file() {
        println!("corpus: not here ({name})");
        return None;
    }
    Some(path)
}
