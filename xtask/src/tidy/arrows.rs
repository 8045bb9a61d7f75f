//! Which crate may use which. The reasons are in ARCHITECTURE.md, and in the messages.

use anyhow::Context as _;
use serde_json::Value;

use crate::build;

/// A crate of ours, those of ours that it may use, and crates of others that it must not.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const NO_IO: &[&str] = &["tokio", "hyper", "tonic", "reqwest", "nix", "libc", "rustix"];

const RULES: &[Rule] = &[
    ("domain", &[], NO_IO),
    ("api", &["domain"], &["hyper", "reqwest", "sqlx"]),
    ("sys", &[], &["tokio", "tonic", "serde"]),
    ("content", &["domain", "sys"], &["tonic"]),
    ("oci", &["sys", "domain"], &["tonic"]),
    ("daemon-kit", &["api", "domain", "sys"], &[]),
    ("testkit", &["api", "domain", "sys", "oci", "content", "daemon-kit"], &[]),
    ("supervisor", &["api", "domain", "sys"], &["hyper-util", "sqlx", "reqwest", "libcontainer"]),
    ("ws-daemon", &["api", "domain", "sys", "oci", "content", "daemon-kit"], &["sqlx"]),
    ("orchestrator", &["api", "domain", "daemon-kit"], &["libcontainer", "nix"]),
    ("ide-proxy", &["api", "domain", "sys", "daemon-kit"], &["sqlx", "libcontainer"]),
    ("cli", &["api", "domain", "sys", "daemon-kit", "orchestrator", "ws-daemon", "ide-proxy"], &["sqlx", "libcontainer"]),
    ("integration", &["api", "testkit"], &[]),
    ("xtask", &[], &["tokio"]),
];

/// One provider of cryptography, no C beyond what is known, nothing that is known to be broken.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-sys", "rustls has one provider here, ring: two of them panic at run time"),
    ("openssl-sys", "rustls is used everywhere"),
    ("native-tls", "rustls is used everywhere"),
    ("git2", "the git program is used: it has LFS, submodules, partial clones and credential helpers"),
    ("tokio-tar", "RUSTSEC-2025-0111; astral-tokio-tar is its successor"),
    ("serde_yaml", "archived; serde-saphyr is used, which has a budget"),
];

/// Compares `cargo metadata` with the rules.
pub fn check() -> anyhow::Result<Vec<String>> {
    let output = build::cargo().args(["metadata", "--format-version", "1", "--locked"]).output().context("run cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut findings: Vec<String> = packages.iter().flat_map(banned).collect();
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    let names: Vec<&str> = ours.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in &ours {
        findings.extend(arrows_of(package, &names));
    }
    Ok(findings)
}

fn banned(package: &Value) -> Option<String> {
    let name = package["name"].as_str()?;
    let (_, why) = BANNED.iter().find(|(banned, _)| *banned == name)?;
    Some(format!("{name} is in Cargo.lock: {why}; find who brings it with `cargo tree -i {name}`"))
}

fn arrows_of(package: &Value, ours: &[&str]) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed, forbidden)) = RULES.iter().find(|(rule, ..)| *rule == name) else {
        return vec![format!("{name} has no rule: add one to xtask/src/tidy/arrows.rs and a row to ARCHITECTURE.md")];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let normal = dependencies.filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str());
    normal.filter_map(|used| finding(name, used, ours.contains(&used), allowed, forbidden)).collect()
}

fn finding(name: &str, used: &str, is_ours: bool, allowed: &[&str], forbidden: &[&str]) -> Option<String> {
    if is_ours && !allowed.contains(&used) {
        return Some(format!(
            "{name} depends on {used}: daemons meet only in api, libraries never reach up (ARCHITECTURE.md, Rooms)"
        ));
    }
    forbidden.contains(&used).then(|| match name {
        "domain" => format!("domain depends on {used}: decisions are made without I/O, move the acting part to a daemon"),
        _ => format!("{name} depends on {used}, which is not its room (xtask/src/tidy/arrows.rs)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_uses_a_daemon_is_found() {
        assert!(finding("ide-proxy", "ws-daemon", true, &["api"], &[]).is_some());
        assert!(finding("domain", "tokio", false, &[], NO_IO).is_some());
        assert!(finding("ide-proxy", "api", true, &["api"], &[]).is_none());
    }
}
