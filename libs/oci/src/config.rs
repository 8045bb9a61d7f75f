//! The image configuration, of which we take only what an instance uses, each part with a bound (TM-15). Labels,
//! annotations and history are never read: what an image says about itself is no order to us. Format: OCI image spec,
//! `config.md`.

use std::collections::BTreeMap;

use domain::class::{Class, Classify};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest::Digest;

/// Largest configuration, in bytes.
pub const MAX_CONFIG: usize = 8 << 20;
/// All of the environment, in bytes.
const MAX_ENV_BYTES: usize = 1 << 20;
/// Number of variables.
const MAX_ENV: usize = 4096;
/// Longest path or user.
const MAX_TEXT: usize = 4096;
/// Where the runtime mounts its own: nothing of an image may be mounted or started there.
const RESERVED: [&str; 3] = ["proc", "sys", "dev"];

/// What an instance uses of an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// "linux".
    pub os: String,
    /// "amd64".
    pub architecture: String,
    /// Variables, in order.
    pub env: Vec<(String, String)>,
    /// `User`, as written; numbers in it are ids of a container.
    pub user: String,
    /// `WorkingDir`: absolute, without `.` and `..`; empty when not given.
    pub working_directory: String,
    /// `Volumes`: absolute, without `.` and `..`.
    pub volumes: Vec<String>,
    /// Digests of the unpacked layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No JSON, or not of the form.
    #[error("the image's configuration cannot be read")]
    Json(#[source] serde_json::Error),
    /// A part of it is not allowed.
    #[error("the image's configuration is refused: {part} {problem}")]
    Refused {
        /// "WorkingDir".
        part: &'static str,
        /// "is under /proc".
        problem: &'static str,
    },
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<RawConfig>,
    rootfs: RawRootfs,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    working_dir: Option<String>,
    #[serde(default)]
    volumes: Option<BTreeMap<String, IgnoredAny>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

impl ImageConfig {
    /// Reads and checks a configuration.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_CONFIG {
            return Err(refused("it", "is larger than 8 MiB"));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(ConfigError::Json)?;
        let config = raw.config.unwrap_or_default();
        Ok(Self {
            os: raw.os,
            architecture: raw.architecture,
            env: environment(config.env.unwrap_or_default())?,
            user: user(config.user.unwrap_or_default())?,
            working_directory: working_directory(&config.working_dir.unwrap_or_default())?,
            volumes: volumes(config.volumes.unwrap_or_default())?,
            diff_ids: raw.rootfs.diff_ids.unwrap_or_default(),
        })
    }
}

fn environment(variables: Vec<String>) -> Result<Vec<(String, String)>, ConfigError> {
    if variables.len() > MAX_ENV {
        return Err(refused("Env", "has more than 4096 variables"));
    }
    if variables.iter().map(|variable| variable.len() + 1).sum::<usize>() > MAX_ENV_BYTES {
        return Err(refused("Env", "is larger than 1 MiB"));
    }
    // One without `=` sets nothing; Docker passes it on and programs ignore it.
    let pairs = variables.iter().filter_map(|variable| variable.split_once('='));
    pairs.map(|(name, value)| variable(name, value)).collect()
}

fn variable(name: &str, value: &str) -> Result<(String, String), ConfigError> {
    if name.is_empty() || name.contains(['\0', '\n', '\r']) {
        return Err(refused("Env", "has a variable whose name is empty, or has a NUL or a line break"));
    }
    if value.contains('\0') {
        return Err(refused("Env", "has a NUL in a value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Kept as text: names are looked up inside. A number that is no id of a container is refused here, before anything
/// could cut it short (CVE-2024-40635).
fn user(text: String) -> Result<String, ConfigError> {
    if text.len() > MAX_TEXT || text.contains(|character: char| character.is_control()) {
        return Err(refused("User", "is too long or has control characters"));
    }
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = |part: &str| part.parse::<u16>().is_ok();
    if text.split(':').count() > 2 || !text.split(':').filter(is_number).all(is_id) {
        return Err(refused("User", "must be USER or USER:GROUP, with ids from 0 to 65535"));
    }
    if text.starts_with('-') {
        return Err(refused("User", "starts with a dash"));
    }
    Ok(text)
}

fn working_directory(text: &str) -> Result<String, ConfigError> {
    match text {
        "" => Ok(String::new()),
        text => outside_reserved("WorkingDir", text),
    }
}

fn volumes(volumes: BTreeMap<String, IgnoredAny>) -> Result<Vec<String>, ConfigError> {
    volumes.keys().map(|path| outside_reserved("Volumes", path)).collect()
}

/// An absolute path without `.` and `..` that is not under what the runtime mounts.
fn outside_reserved(part: &'static str, text: &str) -> Result<String, ConfigError> {
    if text.len() > MAX_TEXT || text.contains('\0') {
        return Err(refused(part, "is too long or has a NUL"));
    }
    let mut components = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            usual => components.push(usual),
        }
    }
    match components.first() {
        Some(first) if RESERVED.contains(first) => Err(refused(part, "is under /proc, /sys or /dev")),
        _ => Ok(format!("/{}", components.join("/"))),
    }
}

fn refused(part: &'static str, problem: &'static str) -> ConfigError {
    ConfigError::Refused { part, problem }
}

impl Classify for ConfigError {
    fn class(&self) -> Class {
        Class::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        "ImageConfigRefused"
    }

    fn hint(&self) -> Option<String> {
        Some("correct the image's Dockerfile and build it again, name another image, or use `--image host`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> Result<ImageConfig, ConfigError> {
        let text = format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"diff_ids":null}},"config":{config}}}"#);
        ImageConfig::parse(text.as_bytes())
    }

    #[test]
    fn the_parts_an_instance_uses_are_read() {
        let config = parse(
            r#"{"Env":["PATH=/bin","A=b=c","EMPTY=","NOTHING"],"User":"gitpod:33333","WorkingDir":"/a/./b/../c/",
                "Volumes":{"/data":{}},"Labels":{"io.crannog.instance":"x"},"Entrypoint":["/bin/sh"]}"#,
        );
        let config = config.expect("allowed");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(config.env, [pair("PATH", "/bin"), pair("A", "b=c"), pair("EMPTY", "")]);
        assert_eq!((config.user.as_str(), config.working_directory.as_str()), ("gitpod:33333", "/a/c"));
        assert_eq!(config.volumes, ["/data"]);
    }

    #[test]
    fn null_is_nothing() {
        let config = parse(r#"{"Env":null,"User":null,"WorkingDir":null,"Volumes":null}"#).expect("empty");
        assert!(config.env.is_empty() && config.user.is_empty() && config.working_directory.is_empty());
        parse("null").expect("no configuration at all");
    }

    #[test]
    fn what_would_harm_the_node_is_refused() {
        let many = format!(r#"{{"Env":[{}"A=1"]}}"#, r#""A=1","#.repeat(4096));
        let large = format!(r#"{{"Env":["A={}"]}}"#, "x".repeat(1 << 20));
        for config in [
            r#"{"Env":["A\u0000B=1"]}"#,
            r#"{"Env":["A\nB=1"]}"#,
            r#"{"Env":["=1"]}"#,
            r#"{"Env":["A=\u0000"]}"#,
            &many,
            &large,
            r#"{"WorkingDir":"/proc/self/fd/8"}"#,
            r#"{"WorkingDir":"/a/../proc"}"#,
            r#"{"WorkingDir":"proc/1/cwd"}"#,
            r#"{"WorkingDir":"//proc"}"#,
            r#"{"WorkingDir":"/\u0000"}"#,
            r#"{"Volumes":{"/proc":{}}}"#,
            r#"{"Volumes":{"/x/../dev/shm":{}}}"#,
            r#"{"Volumes":{"/sys":{}}}"#,
            r#"{"User":"2147483648"}"#,
            r#"{"User":"65536"}"#,
            r#"{"User":"0:4294967296"}"#,
            r#"{"User":"a:b:c"}"#,
            r#"{"User":"-x"}"#,
            r#"{"User":"a\nb"}"#,
            r#"{"Env":"PATH=/bin"}"#,
            r#"{"User":7}"#,
        ] {
            parse(config).expect_err(&config[..config.len().min(60)]);
        }
        ImageConfig::parse(b"{}").expect_err("no rootfs");
    }
}
