//! What can go wrong in the supervisor's own rooms: reading its inputs, starting programs, terminals.

use std::io;

use domain::class::{Class, Classify};

/// An error of starting up, starting a program, or of a terminal.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// An input descriptor is missing or is not what it must be.
    #[error("cannot read {input}: {detail}")]
    Input {
        /// The variable that names it.
        input: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The configuration cannot be used.
    #[error("the supervisor's configuration is wrong: {0}")]
    Config(String),
    /// A command line was empty or held a NUL byte.
    #[error("the command cannot be started: {0}")]
    BadCommand(String),
    /// The program does not exist.
    #[error("command not found: {program}")]
    NoProgram {
        /// What was looked for.
        program: String,
    },
    /// It exists but cannot be run.
    #[error("{program} is not executable")]
    NotExecutable {
        /// What was to be run.
        program: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Arguments and environment are above what the kernel takes.
    #[error("arguments and environment of {program} are too large")]
    TooLarge {
        /// What was to be run.
        program: String,
    },
    /// The working directory does not exist.
    #[error("no directory {directory}")]
    NoDirectory {
        /// Where the command was to run.
        directory: String,
    },
    /// No such user inside.
    #[error("no user {0}")]
    NoUser(String),
    /// fork or a descriptor failed: pids or memory are used up.
    #[error("cannot start {program}")]
    Start {
        /// What was to be run.
        program: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A pseudo terminal could not be opened or used.
    #[error("cannot {step} a terminal")]
    Terminal {
        /// "open", "resize", "write to"
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// No terminal of this alias.
    #[error("no terminal {0}")]
    NoTerminal(String),
    /// Too many terminals are open.
    #[error("{0} terminals are open already")]
    TooManyTerminals(usize),
    /// The instance is shutting down: nothing new is started.
    #[error("the instance is shutting down")]
    Draining,
}

impl Classify for SupervisorError {
    fn class(&self) -> Class {
        match self {
            Self::Input { .. } | Self::Config(_) => Class::Internal,
            Self::BadCommand(_) | Self::TooLarge { .. } => Class::InvalidArgument,
            Self::NoProgram { .. } | Self::NoDirectory { .. } | Self::NoUser(_) | Self::NoTerminal(_) => Class::NotFound,
            Self::NotExecutable { .. } => Class::PermissionDenied,
            Self::Start { .. } | Self::Terminal { .. } | Self::TooManyTerminals(_) => Class::ResourceExhausted,
            Self::Draining => Class::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Input { .. } => "InputMissing",
            Self::Config(_) => "ConfigInvalid",
            Self::BadCommand(_) => "CommandInvalid",
            Self::NoProgram { .. } => "CommandNotFound",
            Self::NotExecutable { .. } => "CommandNotExecutable",
            Self::TooLarge { .. } => "EnvironmentTooLarge",
            Self::NoDirectory { .. } => "DirectoryNotFound",
            Self::NoUser(_) => "UserNotFound",
            Self::Start { .. } => "CommandNotStarted",
            Self::Terminal { .. } => "TerminalFailed",
            Self::NoTerminal(_) => "TerminalNotFound",
            Self::TooManyTerminals(_) => "TooManyTerminals",
            Self::Draining => "ShuttingDown",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoProgram { .. } => "check the spelling, or install it in the workspace; PATH is that of the workspace user",
            Self::NoDirectory { .. } => "choose a directory that exists inside the workspace",
            Self::NoUser(_) => "leave the user out for the workspace user, or name one of /etc/passwd inside",
            Self::NoTerminal(_) => "list the terminals that are open",
            Self::TooManyTerminals(_) => "close a terminal that is not needed",
            Self::Start { .. } => "the limit of processes or memory may be reached: end some processes inside",
            Self::TooLarge { .. } => "shorten arguments and environment variables; a single one may have 128 KiB",
            Self::Draining => "start the workspace again when it has stopped",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
