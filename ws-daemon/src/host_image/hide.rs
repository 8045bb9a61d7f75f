//! What of the machine outside of `/etc` is shown.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sandbox::scaffold::Entry;

/// At the top: programs, libraries, settings, packages.
const TOP: [&str; 12] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "opt", "var", "nix", "gnu"];
/// In `/var`: what package managers know, and links to `/run`.
const VAR: [&str; 6] = ["lib", "cache", "run", "lock", "opt", "local"];
/// In `/var/lib`: what package managers and language tools keep; never what a service keeps.
const VAR_LIB: [&str; 28] = [
    "apk",
    "apt",
    "aspell",
    "binfmts",
    "ca-certificates-java",
    "dictionaries-common",
    "dnf",
    "dpkg",
    "emacsen-common",
    "gems",
    "ghc",
    "initramfs-tools",
    "ispell",
    "locales",
    "man-db",
    "misc",
    "pacman",
    "pam",
    "polkit-1",
    "portage",
    "python",
    "rpm",
    "sgml-base",
    "shells.state",
    "tex-common",
    "texmf",
    "ucf",
    "xml-core",
];
/// In `/var/cache`.
const VAR_CACHE: [&str; 6] = ["apt", "debconf", "dictionaries-common", "fontconfig", "ldconfig", "man"];

/// Directories that every system has and that are empty in a new one.
const EMPTY: [(&str, u32); 13] = [
    ("/boot", 0o755),
    ("/home", 0o755),
    ("/media", 0o755),
    ("/mnt", 0o755),
    ("/root", 0o755),
    ("/run", 0o755),
    ("/srv", 0o755),
    ("/tmp", 0o1777),
    ("/var/log", 0o755),
    ("/var/log/apt", 0o755),
    ("/var/mail", 0o755),
    ("/var/spool", 0o755),
    ("/var/tmp", 0o1777),
];
/// Credentials in places that are shown otherwise.
const SECRETS: [&str; 3] = ["/var/cache/debconf/passwords.dat", "/var/lib/polkit-1/localauthority", "/opt/containerd"];

/// The entries that hide. `root` is the machine's.
pub fn machine(root: &Path, show: &[String]) -> io::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> =
        EMPTY.iter().map(|(path, mode)| Entry::Empty { path: PathBuf::from(path), mode: *mode }).collect();
    let empty: BTreeSet<PathBuf> = EMPTY.iter().map(|(path, _)| PathBuf::from(path)).collect();
    let top: Vec<&str> = TOP.iter().copied().chain(show.iter().map(String::as_str)).collect();
    let kept = ["proc", "sys", "dev"];
    for (directory, shown) in [
        ("/", top.iter().chain(&kept).copied().collect::<Vec<_>>()),
        ("/var", VAR.to_vec()),
        ("/var/lib", VAR_LIB.to_vec()),
        ("/var/cache", VAR_CACHE.to_vec()),
    ] {
        for name in names(root, Path::new(directory))? {
            let path = Path::new(directory).join(&name);
            if !shown.contains(&name.as_str()) && !empty.contains(&path) {
                entries.push(Entry::Hidden(path));
            }
        }
    }
    entries.extend(further(root, &SECRETS.map(PathBuf::from), &entries));
    entries.extend(unreadable_below(root, Path::new("/opt"), &entries));
    entries.push(Entry::Empty { path: PathBuf::from("/workspace"), mode: 0o755 });
    Ok(without_repetition(entries))
}

/// Hides further paths, where they are not inside of something that is hidden already.
pub fn further(root: &Path, paths: &[PathBuf], known: &[Entry]) -> Vec<Entry> {
    paths
        .iter()
        .filter(|path| path.is_absolute() && below(root, path).symlink_metadata().is_ok() && !is_covered(path, known))
        .map(|path| Entry::Hidden(path.clone()))
        .collect()
}

/// Whether the image shows nothing there anyway.
pub fn is_covered(path: &Path, known: &[Entry]) -> bool {
    known.iter().any(|entry| match entry {
        Entry::Hidden(hidden) => path.starts_with(hidden),
        Entry::Empty { path: empty, .. } => path.starts_with(empty),
        Entry::File { path: file, .. } => path == file,
        Entry::Directory(_) => false,
    })
}

/// What others may not enter, one level down.
fn unreadable_below(root: &Path, directory: &Path, known: &[Entry]) -> Vec<Entry> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_private = |path: &Path| {
        below(root, path).symlink_metadata().is_ok_and(|found| !found.is_symlink() && found.permissions().mode() & 0o004 == 0)
    };
    names(root, directory)
        .unwrap_or_default()
        .into_iter()
        .map(|name| directory.join(name))
        .filter(|path| is_private(path) && !is_covered(path, known))
        .map(Entry::Hidden)
        .collect()
}

fn names(root: &Path, directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(below(root, directory)) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A top directory that is to be empty and is a link on this machine (`/var/mail` often is) is made only once.
fn without_repetition(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    entries.into_iter().filter(|entry| seen.insert(path_of(entry).to_owned())).collect()
}

fn path_of(entry: &Entry) -> &Path {
    match entry {
        Entry::Directory(path) | Entry::Hidden(path) | Entry::Empty { path, .. } | Entry::File { path, .. } => path,
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_nobody_thought_of_is_hidden() {
        let root = tempfile::tempdir().expect("root");
        for directory in ["usr/bin", "data/secrets", "home/ada", "var/lib/dpkg", "var/lib/mysql", "var/www", "shared"] {
            fs::create_dir_all(root.path().join(directory)).expect("directory");
        }
        let entries = machine(root.path(), &["shared".to_owned()]).expect("entries");
        let hidden = |path: &str| is_covered(Path::new(path), &entries);
        assert!(hidden("/data/secrets") && hidden("/home/ada") && hidden("/var/lib/mysql") && hidden("/var/www"));
        assert!(!hidden("/usr/bin") && !hidden("/var/lib/dpkg") && !hidden("/shared"));
    }
}
