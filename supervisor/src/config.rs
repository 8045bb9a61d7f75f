//! What the node hands over at the start: a listening socket and a sealed configuration, as two descriptors.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use api::v1::{InstanceSpec, SupervisorConfig};
use prost::Message as _;

use crate::error::SupervisorError;

/// Upper bound of the configuration, in bytes.
const LIMIT: u64 = 4 << 20;
/// Where the `supervisor` package is served when the configuration does not say.
const DEFAULT_API_PORT: u16 = 22999;

/// The configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// As it came; `spec` is taken out of it.
    pub supervisor: SupervisorConfig,
    /// What this instance is.
    pub spec: InstanceSpec,
    /// Port of the `supervisor` package on loopback.
    pub api_port: u16,
}

/// Everything that PID 1 starts from.
#[derive(Debug)]
pub struct Inputs {
    /// Listening; its path is not visible inside.
    pub api: UnixListener,
    /// Checked.
    pub config: Config,
}

impl Inputs {
    /// Takes both descriptors that the environment names. Call it once, first.
    pub fn take() -> Result<Self, SupervisorError> {
        let config = descriptor("CRANNOG_CONFIG_FD")?;
        let bytes = sys::memfd::read_sealed(config, LIMIT).map_err(|error| input("CRANNOG_CONFIG_FD", &error))?;
        let api = UnixListener::from(descriptor("CRANNOG_API_FD")?);
        api.set_nonblocking(true).map_err(|error| input("CRANNOG_API_FD", &error))?;
        Ok(Self { api, config: Config::parse(&bytes)? })
    }
}

impl Config {
    /// Decodes and checks a `SupervisorConfig`.
    pub fn parse(bytes: &[u8]) -> Result<Self, SupervisorError> {
        let supervisor = SupervisorConfig::decode(bytes).map_err(|error| SupervisorError::Config(error.to_string()))?;
        Self::new(supervisor)
    }

    /// Checks a decoded one.
    pub fn new(mut supervisor: SupervisorConfig) -> Result<Self, SupervisorError> {
        let wrong = |what: &str| Err(SupervisorError::Config(what.to_owned()));
        let Some(spec) = supervisor.spec.take() else { return wrong("it has no spec") };
        if supervisor.user.is_empty() || !supervisor.home.starts_with('/') || !supervisor.shell.starts_with('/') {
            return wrong("user, home and shell of the workspace user must be set");
        }
        let Ok(api_port) = u16::try_from(supervisor.api_port) else { return wrong("api_port is above 65535") };
        let api_port = if api_port == 0 { DEFAULT_API_PORT } else { api_port };
        Ok(Self { supervisor, spec, api_port })
    }

    /// Whether the instance only answers what it is asked: no content, no tasks, no ports.
    pub fn is_job(&self) -> bool {
        self.spec.kind() == api::v1::Kind::Job
    }
}

fn descriptor(variable: &'static str) -> Result<OwnedFd, SupervisorError> {
    let missing = |detail: String| SupervisorError::Input { input: variable, detail };
    let text = std::env::var(variable).map_err(|error| missing(error.to_string()))?;
    let number = text.parse().map_err(|_| missing(format!("{text:?} is not a number")))?;
    sys::process::inherited(number).map_err(|error| input(variable, &error))
}

fn input(input: &'static str, error: &std::io::Error) -> SupervisorError {
    SupervisorError::Input { input, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_a_user_is_refused_by_name() {
        let empty = SupervisorConfig { spec: Some(InstanceSpec::default()), ..Default::default() };
        let error = Config::parse(&empty.encode_to_vec()).unwrap_err();
        assert!(error.to_string().contains("user, home and shell"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_configuration_are_refused() {
        assert!(matches!(Config::parse(&[0xff; 9]), Err(SupervisorError::Config(_))));
    }
}
