//! Building: the programs for this machine, and the supervisor, which is always static because it runs in any image.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::setup;

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Built {
    /// `crannog`
    pub crannog: PathBuf,
    /// The static supervisor.
    pub supervisor: PathBuf,
}

/// How much the compiler is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build; for tests.
    Dev,
    /// Quick to run.
    Release,
    /// Small, for shipping.
    Dist,
}

impl Profile {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
            Self::Dist => &["--profile", "dist"],
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }
}

/// Builds `crannog` and the supervisor; cargo's words go to standard error.
pub fn programs(profile: Profile) -> anyhow::Result<Built> {
    let supervisor = supervisor()?;
    setup::run(cargo().args(["build", "--package", "cli"]).args(profile.arguments()).stdout(Stdio::null()))?;
    Ok(Built { crannog: target().join(profile.directory()).join("crannog"), supervisor })
}

/// Builds the static supervisor, for musl where its target can be had, else for glibc with everything linked in.
pub fn supervisor() -> anyhow::Result<PathBuf> {
    let (triple, flags) = static_target()?;
    let mut command = cargo();
    command.args(["build", "--package", "supervisor", "--profile", "dist", "--target", &triple]).stdout(Stdio::null());
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    setup::run(&mut command)?;
    Ok(target().join(triple).join("dist/supervisor"))
}

fn static_target() -> anyhow::Result<(String, Option<&'static str>)> {
    let machine = std::env::consts::ARCH;
    let musl = format!("{machine}-unknown-linux-musl");
    if target_is_installed(&musl) {
        return Ok((musl, None));
    }
    eprintln!("adding the Rust target {musl}: the supervisor is static, so that it runs in any image");
    let added = Command::new("rustup").args(["target", "add", &musl]).stdout(Stdio::null()).status();
    if added.is_ok_and(|status| status.success()) && target_is_installed(&musl) {
        return Ok((musl, None));
    }
    eprintln!("it cannot be had here; linking against glibc's static libraries instead");
    Ok((format!("{machine}-unknown-linux-gnu"), Some("-C target-feature=+crt-static")))
}

fn target_is_installed(triple: &str) -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("lib/rustlib").join(triple).join("lib").is_dir()
    })
}

/// `cargo`, at the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(setup::root());
    command
}

/// The target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| setup::root().join("target"), PathBuf::from)
}

/// Size of a file, for reports.
pub fn size(file: &std::path::Path) -> anyhow::Result<u64> {
    let length = std::fs::metadata(file).with_context(|| format!("look at {}", file.display()))?.len();
    if length == 0 {
        bail!("{} is empty", file.display());
    }
    Ok(length)
}
