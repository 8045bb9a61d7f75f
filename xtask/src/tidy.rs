//! `cargo xtask tidy`: what compilers do not check. Each finding says what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::{build, setup};

mod arrows;
mod pages;
mod shape;
mod sources;

/// Runs every check; findings on standard error, the shape report on standard output.
pub fn run() -> anyhow::Result<ExitCode> {
    let files = Files::list()?;
    let mut findings = arrows::check()?;
    findings.extend(sources::check(&files)?);
    findings.extend(pages::check(&files)?);
    print!("{}", shape::report(&files)?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        eprintln!("tidy: {} findings; check again with `cargo xtask tidy`", findings.len());
        return Ok(ExitCode::FAILURE);
    }
    setup::run(build::cargo().args(["fmt", "--all", "--check"]))?;
    setup::run(build::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    eprintln!("tidy: nothing found");
    Ok(ExitCode::SUCCESS)
}

/// The files that Git knows, or would add.
pub struct Files {
    root: PathBuf,
    names: Vec<PathBuf>,
}

impl Files {
    fn list() -> anyhow::Result<Self> {
        let root = setup::root();
        let output = Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .output()
            .context("list files")?;
        let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let names: Vec<PathBuf> = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())).collect();
        let names = names.into_iter().filter(|name| root.join(name).is_file()).collect();
        Ok(Self { root, names })
    }

    /// Files with an ending, and their texts.
    pub fn with_ending(&self, ending: &str) -> anyhow::Result<Vec<(&Path, String)>> {
        let wanted = self.names.iter().filter(|name| name.extension().is_some_and(|e| e == ending));
        wanted
            .map(|name| {
                Ok((name.as_path(), std::fs::read_to_string(self.root.join(name)).with_context(|| name.display().to_string())?))
            })
            .collect()
    }

    /// Whether a path of the repository exists.
    pub fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}
