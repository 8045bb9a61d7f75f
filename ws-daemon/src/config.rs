//! The settings of ws-daemon; `config/default.toml` is the reference page. Unknown keys are refused.

use daemon_kit::units::{ByteSize, HumanDuration};
use domain::class::Class;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::NodeError;
use crate::host_image::HostImage;
use crate::network::{PrivateRange, RangeError};

/// Every setting with its default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The settings of one node.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is described in config/default.toml")]
pub struct Config {
    pub data: PathBuf,
    pub orchestrator: String,
    pub token_file: PathBuf,
    pub node_id: String,
    pub supervisor: PathBuf,
    pub network_range: String,
    pub id_range_first: u32,
    pub id_range_count: u32,
    pub resolve_image: String,
    pub resolve_parallel: usize,
    pub resolve_timeout: HumanDuration,
    pub image_timeout: HumanDuration,
    pub content_timeout: HumanDuration,
    pub network_timeout: HumanDuration,
    pub sandbox_timeout: HumanDuration,
    pub supervisor_timeout: HumanDuration,
    pub start_deadline: HumanDuration,
    pub stop_grace: HumanDuration,
    pub log_bytes: ByteSize,
    pub usage_interval: HumanDuration,
    pub disk_interval: HumanDuration,
    pub min_free: ByteSize,
    pub insecure_registries: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub host: HostImage,
}

impl Default for Config {
    fn default() -> Self {
        toml::from_str(DEFAULTS).unwrap_or_else(|error| unreachable!("the built-in defaults are complete: {error}"))
    }
}

impl Config {
    /// The directory that this daemon keeps everything in.
    pub fn node_dir(&self) -> PathBuf {
        self.data.join("node")
    }

    /// The supervisor's executable: as configured, else beside this executable.
    pub fn supervisor_path(&self) -> Result<PathBuf, NodeError> {
        if !self.supervisor.as_os_str().is_empty() {
            return found(&self.supervisor).ok_or_else(|| no_supervisor(&self.supervisor.display().to_string()));
        }
        let own = std::env::current_exe().map_err(NodeError::io("find the path of this executable"))?;
        let beside = |name: &str| found(&own.with_file_name(name));
        beside("supervisor").or_else(|| beside("crannog-supervisor")).ok_or_else(|| no_supervisor("beside this executable"))
    }

    /// What addresses of instances are taken from.
    pub fn network_range(&self) -> Result<PrivateRange, NodeError> {
        self.network_range.parse().map_err(|error: RangeError| {
            let hint = "write it like \"10.201.0.0/16\"";
            NodeError::refused(Class::InvalidArgument, "NetworkRange", format!("network_range: {error}"), hint)
        })
    }

    /// The token that admits this node; empty when none is configured.
    pub fn token(&self) -> Result<String, NodeError> {
        if self.token_file.as_os_str().is_empty() {
            return Ok(String::new());
        }
        let doing = format!("read the node's token from {}", self.token_file.display());
        Ok(std::fs::read_to_string(&self.token_file).map_err(NodeError::io(doing))?.trim().to_owned())
    }
}

fn found(path: &Path) -> Option<PathBuf> {
    path.is_file().then(|| path.to_owned())
}

fn no_supervisor(place: &str) -> NodeError {
    NodeError::refused(
        Class::FailedPrecondition,
        "SupervisorMissing",
        format!("there is no supervisor executable ({place})"),
        "build it with `cargo xtask build`, or name it with the setting `supervisor`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_complete_alone() {
        let config = Config::default();
        assert_eq!(config.resolve_timeout.0, std::time::Duration::from_secs(120));
        assert_eq!(config.log_bytes.0, 16 << 20);
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let text = format!("supervisr = \"/x\"\n{DEFAULTS}");
        let error = toml::from_str::<Config>(&text).expect_err("misspelt");
        assert!(error.to_string().contains("supervisr"), "{error}");
    }

    #[test]
    fn the_id_ranges_end_below_the_sign_bit_and_systemds_foreign_range() {
        let config = Config::default();
        let end = u64::from(config.id_range_first) + u64::from(config.id_range_count) * 65_536;
        assert!(end <= 2_147_352_576, "{end}");
    }
}
