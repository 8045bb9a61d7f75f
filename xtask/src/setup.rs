//! What a machine needs beyond Rust, a C compiler and Git: Debian packages and a Rust target, each with its reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A program that must be there, the Debian package that has it, and what for.
pub struct Need {
    /// Looked for on PATH.
    pub program: &'static str,
    /// Installed when it is missing.
    pub package: &'static str,
    /// Said when it is installed.
    pub why: &'static str,
}

/// For running workspaces.
pub const RUN: &[Need] = &[
    Need { program: "git", package: "git", why: "workspaces of the image `host` clone with it" },
    Need {
        program: "nft",
        package: "nftables",
        why: "workspaces reach the network through masquerade rules, and each other not at all",
    },
];

/// For the tests, besides.
pub const TEST: &[Need] = &[
    Need { program: "busybox", package: "busybox-static", why: "the smallest image that has a shell is made of it" },
    Need { program: "docker-registry", package: "docker-registry", why: "images are pulled from a real registry on loopback" },
    Need { program: "sshd", package: "openssh-server", why: "repositories are cloned over ssh from a test host" },
    Need { program: "curl", package: "curl", why: "ports are asked as a user would" },
    Need { program: "wget", package: "wget", why: "test images fetch with it" },
    Need { program: "chromium", package: "chromium", why: "the sign-in to a private port is tried in a real browser" },
];

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Installs what is missing, and says what and why.
pub fn install(needs: &[Need]) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("installing {}: {}", need.package, need.why);
    }
    if find("apt-get").is_none() {
        let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
        bail!("this machine has no apt-get; install with its own package manager: {}", names.join(" "));
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let install = || {
        let mut command = as_root("Debian packages are installed", "apt-get");
        command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&packages);
        command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        command
    };
    if !install().stderr(Stdio::null()).status().context("run apt-get")?.success() {
        // A list of packages that is too old names versions which are gone.
        run(as_root("the list of Debian packages is renewed", "apt-get").args(["update", "--quiet"]).stdout(Stdio::null()))?;
        run(&mut install())?;
    }
    Ok(())
}

/// Where a program is on PATH, or where Debian keeps those for root.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// A command that runs as root: as it is, or by sudo, which is asked for with the reason.
pub fn as_root(why: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--preserve-env=PATH", "--prompt", &format!("root is needed: {why}; password for %u: "), "--"]).arg(program);
    command
}

/// Runs to its end; an error names the command.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` ended with {status}", words(command));
    }
    Ok(())
}

fn words(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
