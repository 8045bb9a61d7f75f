//! Logs go to stderr: text where a person reads them (a terminal), JSON elsewhere. The level can be changed while it runs.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// Why logs could not be set up, or their level not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is no filter.
    #[error("{filter:?} is not a log filter")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set logs up before.
    #[error("logs are set up already")]
    Twice,
    /// The subscriber is gone.
    #[error("change the log filter")]
    Reload(#[source] reload::Error),
}

/// Changes the level of a running process.
#[derive(Clone)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

/// Sets logs up for this process. `RUST_LOG` wins over `filter` ("info", "info,orchestrator=debug").
pub fn init(filter: &str) -> Result<LogControl, LogError> {
    let chosen = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty()).unwrap_or_else(|| filter.to_owned());
    let (layer, handle) = reload::Layer::new(parse(&chosen)?);
    let registry = tracing_subscriber::registry().with(layer);
    let terminal = std::io::stderr().is_terminal();
    let set = if terminal {
        registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()
    };
    set.map_err(|_| LogError::Twice)?;
    Ok(LogControl(handle))
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.into(), source })
}

impl LogControl {
    /// The filter as it stands.
    pub fn current(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Sets another filter.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        self.0.reload(parse(filter)?).map_err(LogError::Reload)
    }
}
