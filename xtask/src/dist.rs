//! `cargo xtask dist`: one archive with `crannog` and the static supervisor, and its digest.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::build::{self, Profile};
use crate::setup;

/// Builds the archive.
pub fn run() -> anyhow::Result<ExitCode> {
    let built = build::programs(Profile::Dist)?;
    let name = format!("crannog-{}-{}-linux", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let folder = build::target().join("dist-archive").join(&name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let files = [
        (built.crannog, "crannog"),
        (built.supervisor, "supervisor"),
        (setup::root().join("LICENSE"), "LICENSE"),
        (setup::root().join("README.md"), "README.md"),
    ];
    for (from, to) in &files {
        std::fs::copy(from, folder.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    let archive = folder.with_extension("tar.gz");
    // Sorted, without owner and time: the same commit gives the same archive.
    setup::run(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-czf"])
            .arg(&archive)
            .arg("-C")
            .arg(folder.parent().unwrap_or(&folder))
            .arg(&name),
    )?;
    setup::run(Command::new("sha256sum").arg(&archive))?;
    for (_, file) in &files[..2] {
        println!("{file}: {} bytes", build::size(&folder.join(file))?);
    }
    Ok(ExitCode::SUCCESS)
}
