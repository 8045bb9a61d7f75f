//! The settings; `config/default.toml` is their reference. Unknown keys are refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use daemon_kit::units::{ByteSize, HumanDuration};
use serde::{Deserialize, Serialize};

/// The reference page, compiled in.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// What environment variables of the orchestrator begin with.
pub const ENV_PREFIX: &str = "CRANNOG_ORCHESTRATOR_";

/// Every setting; see `config/default.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each is documented where its default is")]
pub struct Config {
    pub listen: SocketAddr,
    pub allow_plain_text: bool,
    pub tls_certificate: PathBuf,
    pub tls_key: PathBuf,
    pub data: PathBuf,
    pub admin: String,
    pub log: String,
    pub edge_url: String,
    pub default_image: String,
    pub git_user_name: String,
    pub git_user_email: String,
    pub idle_timeout: HumanDuration,
    pub idle_warning: HumanDuration,
    pub max_lifetime: HumanDuration,
    pub stop_grace: HumanDuration,
    pub start_deadline: HumanDuration,
    pub resolve_deadline: HumanDuration,
    pub node_lease: HumanDuration,
    pub node_heartbeat: HumanDuration,
    pub tunnel_deadline: HumanDuration,
    pub check_interval: HumanDuration,
    pub session_lifetime: HumanDuration,
    pub max_source_size: ByteSize,
    pub default_class: String,
    pub classes: BTreeMap<String, InstanceClass>,
}

/// What instances of a class may use.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceClass {
    /// CPUs, "1.5"; "0" is no limit.
    pub cpus: String,
    /// Bytes; "0" means `memory_percent` of the node's.
    pub memory: ByteSize,
    /// Share of the node's memory, where `memory` is "0".
    #[serde(default)]
    pub memory_percent: u8,
    /// Processes and threads; 0 is no limit.
    pub pids: u64,
    /// Whether `sudo` works inside.
    pub sudo: bool,
}

impl InstanceClass {
    /// The limits on a node with so much memory (0: not known).
    pub fn resources(&self, node_memory: u64) -> api::v1::Resources {
        let share = node_memory / 100 * u64::from(self.memory_percent.min(100));
        let memory_bytes = if self.memory.bytes() > 0 { self.memory.bytes() } else { share };
        api::v1::Resources { cpu_millis: self.cpu_millis().unwrap_or(0), memory_bytes, pids: self.pids }
    }

    /// The CPUs in thousandths; `None` when the text is no number.
    pub fn cpu_millis(&self) -> Option<u64> {
        let (whole, part) = self.cpus.split_once('.').unwrap_or((&self.cpus, ""));
        let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        let thousandths: u64 = if digits { format!("{part:0<3}").parse().ok()? } else { return None };
        whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(over: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), over).expect("write");
        daemon_kit::config::load(DEFAULTS, Some(file.path()), "CRANNOG_TEST_NONE_", &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_complete_alone() {
        let config = parse("").expect("defaults");
        assert!(config.classes.contains_key(&config.default_class));
        assert_eq!(config.idle_timeout.as_millis(), 30 * 60 * 1000);
        assert_eq!(config.classes["default"].resources(1000).memory_bytes, 750);
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        parse("idle_timeuot = '1m'").expect_err("misspelt");
        parse("[classes.default]\nmemroy = '1GiB'").expect_err("misspelt in a table");
    }

    #[test]
    fn cpus_are_read_to_the_thousandth() {
        let class = |cpus: &str| InstanceClass { cpus: cpus.into(), memory: ByteSize(5), memory_percent: 0, pids: 0, sudo: true };
        assert_eq!(class("1.5").cpu_millis(), Some(1500));
        assert_eq!(class("0").cpu_millis(), Some(0));
        for wrong in ["", "a", "1.2345", "-1", "1.x"] {
            assert_eq!(class(wrong).cpu_millis(), None, "{wrong}");
        }
    }
}
