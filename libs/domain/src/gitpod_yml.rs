//! `.gitpod.yml`, the whole schema. What cannot be understood is said with line and column and left out; the rest
//! counts. A file that is no YAML at all gives the defaults, so that the workspace starts and its owner can mend it.

mod git_config;
mod honoured;
mod locations;
mod node;
mod ports;
mod reader;
mod schema;
mod tasks;

use std::fmt;

pub use honoured::{Honoured, How, honoured, honoured_table};
pub use locations::Directories;

/// The names under which the file is looked for, in order.
pub const FILE_NAMES: [&str; 2] = [".gitpod.yml", ".gitpod.yaml"];

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// The most tasks that are run; further ones are left out.
pub const MAX_TASKS: usize = 256;

/// The most entries of `ports` that are taken; further ones are left out.
pub const MAX_PORTS: usize = 1024;

/// What a repository wants its workspace to be. `Default` is what a repository without the file gets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// What to run in.
    pub image: Option<Image>,
    /// Run in order, each in a terminal of its own.
    pub tasks: Vec<Task>,
    /// How ports are treated; for a port that several entries name, the first counts.
    pub ports: Vec<Port>,
    /// Variables for every process.
    pub env: Vec<(String, String)>,
    /// Further repositories beside the main one.
    pub additional_repositories: Vec<AdditionalRepository>,
    /// The repository whose configuration counts instead of this one.
    pub main_configuration: Option<String>,
    /// Where the repository goes, below /workspace.
    pub checkout_location: Option<String>,
    /// Where terminals and tasks start, below /workspace.
    pub workspace_location: Option<String>,
    /// Settings of Git for the workspace's user, in order; none that runs a program.
    pub git_config: Vec<(String, String)>,
    /// When prebuilds ran on gitpod.io.
    pub github_prebuilds: Vec<(String, String)>,
    /// Extensions for VS Code, `publisher.name`.
    pub vscode_extensions: Vec<String>,
    /// Plugins and settings for JetBrains products; the first entry, with an empty product, is for all.
    pub jetbrains: Vec<JetBrains>,
    /// Size of core dumps.
    pub core_dump: Option<CoreDump>,
}

/// What to run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A reference of a registry, or "host".
    Reference(String),
    /// Built from a file of the repository.
    File {
        /// Path of the Dockerfile.
        file: String,
        /// Directory of the build context; that of the file when absent.
        context: Option<String>,
    },
}

/// One task. Each stage is text for a shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Title of the terminal.
    pub name: Option<String>,
    /// Runs at each start, first.
    pub before: Option<String>,
    /// Runs once per content, after `before`.
    pub init: Option<String>,
    /// Runs after `init` in a prebuild.
    pub prebuild: Option<String>,
    /// Runs at each start, last.
    pub command: Option<String>,
    /// Variables of this task; what is not text in the file is JSON.
    pub env: Vec<(String, String)>,
    /// Where an IDE opens the terminal.
    pub open_in: Option<String>,
    /// How an IDE opens the terminal.
    pub open_mode: Option<String>,
}

/// How a port, or a range of them, is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// From 1 on.
    pub first: u16,
    /// The same as `first` for a single port.
    pub last: u16,
    /// What happens when something listens.
    pub on_open: OnOpen,
    /// Whether anybody may ask for it.
    pub is_public: bool,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether the server inside speaks TLS.
    pub is_https: bool,
}

/// What happens when something begins to listen on a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnOpen {
    /// A word to the user.
    #[default]
    Notify,
    /// A browser.
    OpenBrowser,
    /// A preview in the IDE.
    OpenPreview,
    /// Nothing.
    Ignore,
    /// Nothing, and it is not listed either.
    IgnoreCompletely,
}

/// A further repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdditionalRepository {
    /// As for `crannog start`.
    pub url: String,
    /// Below /workspace; by the repository's name when absent.
    pub checkout_location: Option<String>,
}

/// Settings of one JetBrains product.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JetBrains {
    /// "intellij", "goland"…; empty for all.
    pub product: String,
    /// Ids of plugins.
    pub plugins: Vec<String>,
    /// "stable", "latest" or "both": which version is warmed up.
    pub prebuild_version: Option<String>,
    /// Options for its Java machine.
    pub vm_options: Option<String>,
}

/// Limits of core dumps, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreDump {
    /// Whether there are any.
    pub enabled: bool,
    /// Soft limit.
    pub soft_limit: u64,
    /// Hard limit.
    pub hard_limit: u64,
}

/// Whether a problem leaves the file in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A part of the file is left out.
    Warning,
    /// The whole file is left out.
    Error,
}

/// Something in the file that its author should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1 on.
    pub line: u64,
    /// From 1 on, in characters.
    pub column: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what was done about it.
    pub message: String,
}

impl fmt::Display for Problem {
    /// "3:5: message"; put the file's name and a colon before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A file, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// What counts.
    pub config: Config,
    /// What was left out, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Parsed {
    /// Whether the whole file was left out, and the defaults count.
    pub fn has_error(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Each problem as "FILE:LINE:COLUMN: message".
    pub fn warnings(&self, file: &str) -> Vec<String> {
        self.problems.iter().map(|problem| format!("{file}:{problem}")).collect()
    }
}

/// Reads the file. Always gives a configuration to start with; bounded in time and memory whatever the bytes are.
pub fn parse(bytes: &[u8]) -> Parsed {
    match node::read(bytes) {
        Ok(root) => {
            let mut reader = reader::Reader::default();
            let config = schema::config(&root, &mut reader);
            Parsed { config, problems: reader.into_problems() }
        }
        Err(problem) => Parsed { config: Config::default(), problems: vec![problem] },
    }
}

impl OnOpen {
    /// The word in the file and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::OpenBrowser => "open-browser",
            Self::OpenPreview => "open-preview",
            Self::Ignore => "ignore",
            Self::IgnoreCompletely => "ignore-completely",
        }
    }
}
