//! Toolchains that live in a home directory: shown read-only at their own paths, without what is private beside them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::runtime::bundle::Shown;

/// What a toolchain looks like. Paths are relative to the home; one part may be `*` (every one of them, the highest version
/// first) or `{version}` (what `version_file` says, else as `*`, only the first).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Toolchain {
    /// Its name, for people.
    pub name: String,
    /// Directories that are shown, where they exist. The first one must.
    pub show: Vec<String>,
    /// Directories for PATH.
    pub path: Vec<String>,
    /// Variables whose values are paths.
    pub env: Vec<(String, String)>,
    /// A file with the chosen version.
    pub version_file: Option<String>,
}

/// A toolchain on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is shown.
    pub shown: Vec<Shown>,
    /// For PATH.
    pub path: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
}

/// Those that are known without any configuration.
pub fn builtin() -> Vec<Toolchain> {
    let toolchain = |name: &str, show: &[&str], path: &[&str], env: &[(&str, &str)], version_file: Option<&str>| Toolchain {
        name: name.into(),
        show: show.iter().map(|text| (*text).into()).collect(),
        path: path.iter().map(|text| (*text).into()).collect(),
        env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        version_file: version_file.map(Into::into),
    };
    vec![
        // CARGO_HOME stays the user's own ~/.cargo: credentials, registry and `cargo install` are theirs.
        toolchain("rustup", &[".rustup", ".cargo/bin"], &[".cargo/bin"], &[("RUSTUP_HOME", ".rustup")], None),
        // The versions come before the shims: `pip install --user` would make the shims want to write.
        toolchain(
            "pyenv",
            &[".pyenv"],
            &[".pyenv/versions/{version}/bin", ".pyenv/shims", ".pyenv/bin"],
            &[("PYENV_ROOT", ".pyenv")],
            Some(".pyenv/version"),
        ),
        toolchain("rbenv", &[".rbenv"], &[".rbenv/shims", ".rbenv/bin"], &[("RBENV_ROOT", ".rbenv")], None),
        toolchain("nvm", &[".nvm/versions"], &[".nvm/versions/node/{version}/bin"], &[], Some(".nvm/alias/default")),
        toolchain("volta", &[".volta/bin", ".volta/tools"], &[".volta/bin"], &[], None),
        toolchain("go-sdk", &["sdk"], &["sdk/{version}/bin"], &[], None),
        toolchain("go-bin", &["go/bin"], &["go/bin"], &[], None),
        toolchain(
            "sdkman",
            &[".sdkman/candidates"],
            &[".sdkman/candidates/*/current/bin"],
            &[("JAVA_HOME", ".sdkman/candidates/java/current")],
            None,
        ),
        toolchain("deno", &[".deno/bin"], &[".deno/bin"], &[], None),
        toolchain("bun", &[".bun/bin"], &[".bun/bin"], &[], None),
    ]
}

/// The homes of who runs the server: root's, and of who called `sudo`.
pub fn homes() -> Vec<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home_of = |name: &str| {
        passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))
            .and_then(|line| line.split(':').nth(5))
            .map(PathBuf::from)
    };
    let caller = std::env::var("SUDO_USER").ok();
    let mut homes: Vec<PathBuf> = caller.iter().map(String::as_str).chain(["root"]).filter_map(home_of).collect();
    homes.dedup();
    homes
}

/// Looks for them.
pub fn found(toolchains: &[Toolchain], homes: &[PathBuf]) -> Vec<Found> {
    homes.iter().flat_map(|home| toolchains.iter().filter_map(|toolchain| look(toolchain, home))).collect()
}

fn look(toolchain: &Toolchain, home: &Path) -> Option<Found> {
    let is_plain_dir = |path: &PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let first = home.join(toolchain.show.first()?);
    if !is_plain_dir(&first) {
        return None;
    }
    let shown = toolchain.show.iter().map(|show| home.join(show)).filter(is_plain_dir);
    let expand = |pattern: &String| expand(home, pattern, toolchain.version_file.as_deref());
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    Some(Found {
        shown: shown.map(|path| Shown { source: path.clone(), target: path, mapped: true }).collect(),
        path: toolchain.path.iter().flat_map(expand).map(text).collect(),
        env: toolchain
            .env
            .iter()
            .map(|(name, value)| (name.clone(), home.join(value)))
            .filter(|(_, path)| path.exists())
            .map(|(name, path)| (name, text(path)))
            .collect(),
    })
}

fn expand(home: &Path, pattern: &str, version_file: Option<&str>) -> Vec<PathBuf> {
    let Some((before, mark, after)) = split(pattern) else {
        return Some(home.join(pattern)).filter(|path| path.is_dir()).into_iter().collect();
    };
    let directory = home.join(before);
    let mut names: Vec<String> = fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort_by_key(|name| std::cmp::Reverse(version_key(name)));
    if mark == "{version}" {
        let chosen = version_file.and_then(|file| fs::read_to_string(home.join(file)).ok()).unwrap_or_default();
        let chosen: Vec<&str> = chosen.split_whitespace().collect();
        let of_choice: Vec<String> =
            names.iter().filter(|name| chosen.iter().any(|word| is_version(name, word))).cloned().collect();
        names = if of_choice.is_empty() { names.into_iter().take(1).collect() } else { of_choice };
    }
    names.into_iter().map(|name| directory.join(name).join(after)).filter(|path| path.is_dir()).collect()
}

fn split(pattern: &str) -> Option<(&str, &str, &str)> {
    ["{version}", "*"].into_iter().find_map(|mark| {
        let (before, after) = pattern.split_once(mark)?;
        Some((before.trim_end_matches('/'), mark, after.trim_start_matches('/')))
    })
}

/// "20" chooses "v20.11.1"; "3.11.7" chooses itself.
fn is_version(name: &str, word: &str) -> bool {
    let (name, word) = (name.trim_start_matches('v'), word.trim_start_matches('v'));
    name == word || name.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'))
}

/// Numbers compare as numbers: 3.9 comes before 3.11.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_is_shown_without_credentials_and_registry() {
        let home = tempfile::tempdir().expect("home");
        for directory in [".cargo/bin", ".cargo/registry", ".rustup/toolchains", ".aws"] {
            fs::create_dir_all(home.path().join(directory)).expect("directory");
        }
        fs::write(home.path().join(".cargo/credentials.toml"), "token").expect("file");
        let found = found(&builtin(), &[home.path().to_owned()]);
        assert_eq!(found.len(), 1);
        let shown: Vec<_> = found[0].shown.iter().map(|shown| shown.target.strip_prefix(home.path()).expect("below")).collect();
        assert_eq!(shown, [Path::new(".rustup"), Path::new(".cargo/bin")]);
        assert_eq!(found[0].env[0].0, "RUSTUP_HOME");
    }

    #[test]
    fn the_chosen_version_of_python_comes_first_else_the_highest() {
        let home = tempfile::tempdir().expect("home");
        for version in ["3.9.18", "3.11.7", "3.10.13"] {
            fs::create_dir_all(home.path().join(".pyenv/versions").join(version).join("bin")).expect("directory");
        }
        let first = || found(&builtin(), &[home.path().to_owned()])[0].path[0].clone();
        assert!(first().contains("3.11.7"));
        fs::write(home.path().join(".pyenv/version"), "3.9.18\n").expect("file");
        assert!(first().contains("3.9.18"));
    }
}
