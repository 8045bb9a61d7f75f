//! One file for each command; which one runs is decided here.

use crate::args::{Command, Connection};
use crate::client;
use crate::error::CommandError;

mod attach;
mod delete;
mod events;
mod exec;
mod list;
mod logs;
mod port;
mod port_forward;
mod ports;
mod show;
mod start;
mod stop;
mod terminals;
mod timeline;
mod url;
mod wait;

/// Runs a command of a client.
pub async fn run(connection: &Connection, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Completions { shell } => {
            crate::reference::completions(shell);
            return Ok(());
        }
        Command::Reference => {
            print!("{}", crate::reference::markdown());
            return Ok(());
        }
        _ => {}
    }
    let api = client::connect(connection).await?;
    match command {
        Command::Start(options) => start::run(api, options).await,
        Command::List(output) => list::run(api, output).await,
        Command::Show(options) => show::run(api, options).await,
        Command::Stop(options) => stop::run(api, options).await,
        Command::Restart(options) => stop::restart(api, options).await,
        Command::Delete(options) => delete::run(api, options).await,
        Command::Logs(options) => logs::run(api, options).await,
        Command::Timeline(options) => timeline::run(api, options).await,
        Command::Events(options) => events::run(api, options).await,
        Command::Exec(options) => exec::run(api, options).await,
        Command::Shell(options) => attach::shell(api, options).await,
        Command::Attach(options) => attach::run(api, options).await,
        Command::Terminals(options) => terminals::run(api, options).await,
        Command::Ports(options) => ports::run(api, options).await,
        Command::Url(options) => url::run(api, options).await,
        Command::Port(options) => port::run(api, options).await,
        Command::PortForward(options) => port_forward::run(api, options).await,
        Command::Server(_) | Command::Completions { .. } | Command::Reference => Ok(()),
    }
}

/// Whether errors are to be JSON too.
pub fn wants_json(command: &Command) -> bool {
    match command {
        Command::Start(options) => options.output.is_json(),
        Command::List(output) => output.is_json(),
        Command::Show(o) | Command::Stop(o) | Command::Restart(o) | Command::Delete(o) => o.output.is_json(),
        Command::Timeline(o) | Command::Terminals(o) | Command::Ports(o) => o.output.is_json(),
        Command::Logs(options) => options.output.is_json(),
        Command::Events(options) => options.output.is_json(),
        Command::Url(options) => options.output.is_json(),
        Command::Port(options) => options.output.is_json(),
        _ => false,
    }
}
