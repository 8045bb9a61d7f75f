//! A real, small root file system: Debian's static busybox and links to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Image, ImageBuilder, Layer};

/// Where Debian's `busybox-static` puts it.
const PLACES: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];

/// What a busybox image has beside the programs.
#[derive(Debug, Clone)]
pub struct Busybox {
    /// Applets that get a name in /bin; empty: all of them.
    pub applets: Vec<String>,
    /// Users beside root: (name, id).
    pub users: Vec<(String, u32)>,
}

impl Default for Busybox {
    fn default() -> Self {
        Self { applets: Vec::new(), users: vec![("dev".to_owned(), 1000)] }
    }
}

/// The machine's busybox; `None` with a printed reason where there is none.
pub fn find_busybox() -> Option<PathBuf> {
    let found = PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: there is no busybox here; `apt-get install busybox-static` would make this run");
    }
    found
}

/// An image with a shell, the usual programs, users and an /etc; no git, no sudo, no bash.
pub fn busybox(program: &Path, options: &Busybox) -> anyhow::Result<ImageBuilder> {
    let bytes = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let applets = if options.applets.is_empty() { applets(program)? } else { options.applets.clone() };
    let mut layer = Layer::new();
    for directory in ["bin", "etc", "home", "root", "usr", "usr/bin", "var", "proc", "sys", "dev"] {
        layer = layer.dir(directory, 0o755);
    }
    layer = layer.dir("tmp", 0o1777).file("bin/busybox", 0o755, bytes);
    for applet in applets.iter().filter(|applet| *applet != "busybox") {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer = layer.file("etc/passwd", 0o644, passwd(options)).file("etc/group", 0o644, group(options));
    for (name, id) in &options.users {
        layer = layer.owned_by((*id).into(), (*id).into()).dir(&format!("home/{name}"), 0o755);
    }
    Ok(Image::builder().layer(layer).config("Env", serde_json::json!(["PATH=/bin:/usr/bin"])))
}

fn applets(program: &Path) -> anyhow::Result<Vec<String>> {
    let output = std::process::Command::new(program).arg("--list").output().context("ask busybox for its applets")?;
    ensure!(output.status.success(), "busybox --list failed");
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn passwd(options: &Busybox) -> String {
    let users = options.users.iter().map(|(name, id)| format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n"));
    std::iter::once("root:x:0:0:root:/root:/bin/sh\n".to_owned()).chain(users).collect()
}

fn group(options: &Busybox) -> String {
    let groups = options.users.iter().map(|(name, id)| format!("{name}:x:{id}:\n"));
    std::iter::once("root:x:0:\n".to_owned()).chain(groups).collect()
}
