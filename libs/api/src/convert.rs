//! `crannog.v1` and `domain`, in both directions. What comes over the wire is checked here, once, for every daemon and
//! the CLI.

mod gitpod;
mod phase;
mod request;

use domain::class::{Class, Classify};

pub use gitpod::{ports_of, tasks_of, variables};
pub use request::{MAX_VARIABLES, check_port, check_variables};

/// A message that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// An enum has a value that this version does not know, or none.
    #[error("{what} has the unknown value {value}")]
    UnknownValue {
        /// Which enum.
        what: &'static str,
        /// The number on the wire.
        value: i32,
    },
    /// Not a port.
    #[error("{0} is not a port")]
    Port(u32),
    /// An environment variable cannot have this name or value.
    #[error("the environment variable {name:?} cannot be set: {why}")]
    Variable {
        /// Its name, shortened.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There are too many of them.
    #[error("{0} environment variables are more than {MAX_VARIABLES}")]
    TooManyVariables(usize),
}

impl Classify for ConvertError {
    fn class(&self) -> Class {
        Class::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownValue { .. } => "UnknownValue",
            Self::Port(_) => "PortMalformed",
            Self::Variable { .. } | Self::TooManyVariables(_) => "VariableMalformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownValue { .. } => "use programs of the same version on both sides".into(),
            Self::Port(_) => "give a number from 1 to 65535".into(),
            Self::Variable { .. } => "names are made of letters, digits and '_', and do not begin with a digit".into(),
            Self::TooManyVariables(_) => "put them into a file of the repository".into(),
        })
    }
}
