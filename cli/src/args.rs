//! The command line as clap sees it: names, flags, help. The manual's reference page is generated from here.

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Self-hosted development environments: a Git repository in, an isolated workspace out.
#[derive(Debug, Parser)]
#[command(name = "crannog", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// Where the server is found and who asks.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How to reach the server.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Address of the server, e.g. http://127.0.0.1:7270; the default is what the server wrote down
    #[arg(long, global = true, env = "CRANNOG_SERVER", value_name = "URL", help_heading = "Connection")]
    pub server: Option<String>,
    /// Token of the owner; the default is what the server wrote down
    #[arg(long, global = true, env = "CRANNOG_TOKEN", hide_env_values = true, value_name = "TOKEN", help_heading = "Connection")]
    pub token: Option<String>,
    /// Data directory of the server on this machine
    #[arg(long, global = true, env = "CRANNOG_DATA", value_name = "DIR", help_heading = "Connection")]
    pub data: Option<std::path::PathBuf>,
}

/// Shape of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs: one JSON value, or one a line where there is a stream
    Json,
}

/// The `-o` flag of commands that show something.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Shape of the output
    #[arg(short = 'o', long = "output", value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: Format,
}

impl Output {
    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// One workspace.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Name, id, or the beginning of an id
    #[arg(value_name = "WORKSPACE")]
    pub workspace: String,
}

/// A command on one workspace that shows it.
#[derive(Debug, Clone, Args)]
pub struct TargetOutput {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// Every command. One file each, in `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a workspace from a Git repository, or start a stopped one again
    Start(Start),
    /// List workspaces
    List(Output),
    /// Show everything known about a workspace
    Show(TargetOutput),
    /// Stop a workspace; its whole root file system is kept
    Stop(TargetOutput),
    /// Stop and start a workspace
    Restart(TargetOutput),
    /// Delete a workspace and everything it kept
    Delete(TargetOutput),
    /// Show the output of a workspace's tasks
    Logs(Logs),
    /// Show where the time of the start went
    Timeline(TargetOutput),
    /// Show what happened, oldest first
    Events(Events),
    /// Run a command in a workspace
    Exec(Exec),
    /// Open a new terminal; leave it running with Ctrl-P Ctrl-Q
    Shell(Shell),
    /// Come back to a terminal; the newest one where none is named
    Attach(Attach),
    /// List the terminals of a workspace
    Terminals(TargetOutput),
    /// List the ports of a workspace
    Ports(TargetOutput),
    /// Print the address of a port: a private one's link is good once, for five minutes
    Url(Url),
    /// Make a port public or private
    Port(Port),
    /// Make ports of a workspace reachable on this machine
    PortForward(PortForward),
    /// Run the server: orchestrator, node and edge in one process
    Server(Server),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the command-line reference as Markdown
    #[command(hide = true)]
    Reference,
}

/// `crannog start`
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// A Git URL (with optional #ref), the URL of a branch, commit, file, tag, pull or merge request on GitHub, GitLab or
    /// Bitbucket, a local directory, a Git bundle; or a stopped workspace
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Name of the workspace: lower-case letters, digits and dashes; made from the repository's where not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Image to start from: an OCI reference, or `host` for this machine's own root file system
    #[arg(long, value_name = "REF|host")]
    pub image: Option<String>,
    /// Set a variable in the workspace; repeatable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// Bring uncommitted changes of a local directory along
    #[arg(long)]
    pub with_changes: bool,
    /// Do not wait until the workspace runs
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Class of limits, by the server's configuration
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `crannog logs`
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Name or index of a task; all where not given
    #[arg(value_name = "TASK")]
    pub task: Option<String>,
    /// Go on showing what comes
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `crannog events`
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Only those of one workspace
    #[arg(value_name = "WORKSPACE")]
    pub workspace: Option<String>,
    /// Go on showing what comes
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `crannog exec`
#[derive(Debug, Clone, Args)]
pub struct Exec {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Run as this user instead of the workspace's
    #[arg(long, short = 'u', value_name = "USER")]
    pub user: Option<String>,
    /// Directory to run in; the repository's where not given
    #[arg(long, short = 'w', value_name = "DIR")]
    pub workdir: Option<String>,
    /// Set a variable; repeatable
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = parse_env)]
    pub env: Vec<(String, String)>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `crannog shell`
#[derive(Debug, Clone, Args)]
pub struct Shell {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// A command to run instead of the login shell
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `crannog attach`
#[derive(Debug, Clone, Args)]
pub struct Attach {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Alias of the terminal, as `crannog terminals` shows it
    #[arg(value_name = "TERMINAL")]
    pub terminal: Option<String>,
    /// Watch without typing
    #[arg(long)]
    pub read_only: bool,
}

/// `crannog url`
#[derive(Debug, Clone, Args)]
pub struct Url {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Port number inside the workspace
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `crannog port`
#[derive(Debug, Clone, Args)]
#[group(id = "visibility", required = true, multiple = false, args = ["public", "private"])]
pub struct Port {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Port number inside the workspace
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Let everybody who reaches the edge in
    #[arg(long)]
    pub public: bool,
    /// Let only the owner in
    #[arg(long)]
    pub private: bool,
    /// How.
    #[command(flatten)]
    pub output: Output,
}

/// `crannog port-forward`
#[derive(Debug, Clone, Args)]
pub struct PortForward {
    /// Which one.
    #[command(flatten)]
    pub target: Target,
    /// Ports: `3000`, or `8080:3000` to listen on another one here; `0:3000` takes a free one
    #[arg(required = true, value_name = "[LOCAL:]PORT", value_parser = parse_forward)]
    pub ports: Vec<Forward>,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub address: std::net::IpAddr,
}

/// One `[LOCAL:]PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Port on this machine; 0: a free one.
    pub local: u16,
    /// Port inside.
    pub remote: u16,
}

/// `crannog server`
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// Address for the API
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
    /// Address for browsers: http://PORT-NAME.localhost:EDGE/
    #[arg(long, value_name = "ADDRESS")]
    pub edge: Option<std::net::SocketAddr>,
    /// Configuration file (TOML): tables [orchestrator], [node] and [edge]
    #[arg(long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
}

fn parse_env(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("'{name}' cannot be the name of a variable: use letters, digits and _"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_forward(text: &str) -> Result<Forward, String> {
    let number = |part: &str| part.parse::<u16>().map_err(|_| format!("'{part}' is not a port: use 1 to 65535"));
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (number(local)?, number(remote)?),
        None => (number(text)?, number(text)?),
    };
    if remote == 0 {
        return Err("port 0 cannot be forwarded: use 1 to 65535".into());
    }
    Ok(Forward { local, remote })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn ports_to_forward_are_read() {
        assert_eq!(parse_forward("3000"), Ok(Forward { local: 3000, remote: 3000 }));
        assert_eq!(parse_forward("0:80"), Ok(Forward { local: 0, remote: 80 }));
        for bad in ["", "x", "1:", ":1", "70000", "0", "80:0", "1:2:3", "-1"] {
            assert!(parse_forward(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_need_a_name() {
        assert_eq!(parse_env("A_1=b=c"), Ok(("A_1".into(), "b=c".into())));
        for bad in ["A", "=b", "1A=b", "A B=c"] {
            assert!(parse_env(bad).is_err(), "{bad}");
        }
    }
}
