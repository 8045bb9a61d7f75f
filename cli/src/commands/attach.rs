//! `crannog shell`, `crannog attach`: a terminal that PID 1 owns. Leaving it (Ctrl-P Ctrl-Q), losing the connection or
//! killing this program does nothing to it.

use std::io::Write as _;

use api::v1::{self, attach_request, attach_response};
use domain::class::Class;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::args::{Attach, Shell};
use crate::client::Api;
use crate::error::CommandError;
use crate::terminal::{self, DetachKeys, RawMode};

pub async fn shell(api: Api, options: Shell) -> Result<(), CommandError> {
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".into());
    let start = v1::AttachStart {
        workspace: options.target.workspace.clone(),
        command: options.command,
        size: Some(terminal::size()),
        env: [("TERM".to_owned(), term)].into(),
        ..Default::default()
    };
    view(api, start).await
}

pub async fn run(mut api: Api, options: Attach) -> Result<(), CommandError> {
    let workspace = options.target.workspace;
    let alias = match options.terminal {
        Some(alias) => alias,
        None => newest(&mut api, &workspace).await?,
    };
    let start = v1::AttachStart {
        workspace,
        terminal: alias,
        size: Some(terminal::size()),
        read_only: options.read_only,
        ..Default::default()
    };
    view(api, start).await
}

async fn newest(api: &mut Api, workspace: &str) -> Result<String, CommandError> {
    let request = v1::ListTerminalsRequest { workspace: workspace.to_owned() };
    let terminals = api.list_terminals(request).await?.into_inner().terminals;
    let of_user = terminals.iter().rev().find(|terminal| terminal.task_id.is_empty());
    of_user.or(terminals.last()).map(|terminal| terminal.alias.clone()).ok_or_else(|| {
        CommandError::here(
            Class::NotFound,
            format!("{workspace} has no terminal"),
            format!("open one with `crannog shell {workspace}`"),
        )
    })
}

enum End {
    Exited(i32),
    Detached,
}

async fn view(mut api: Api, start: v1::AttachStart) -> Result<(), CommandError> {
    let workspace = start.workspace.clone();
    let (sender, receiver) = mpsc::channel(16);
    let _ = sender.send(request(attach_request::Message::Start(start))).await;
    let mut answers = api.attach(tokio_stream::wrappers::ReceiverStream::new(receiver)).await?.into_inner();
    let raw = RawMode::enter();
    let (leave, left) = oneshot::channel();
    tokio::spawn(type_keys(sender.clone(), leave));
    follow_size(sender)?;
    let mut alias = String::new();
    let end = tokio::select! {
        end = show(&mut answers, &mut alias) => end,
        Ok(()) = left => Ok(End::Detached),
    };
    drop(raw);
    match end? {
        End::Exited(0) => Ok(()),
        End::Exited(code) => Err(CommandError::Exit(u8::try_from(code & 0xff).unwrap_or(1))),
        End::Detached => {
            eprintln!("\r\nleft terminal {alias} running; come back with `crannog attach {workspace} {alias}`");
            Ok(())
        }
    }
}

fn request(message: attach_request::Message) -> v1::AttachRequest {
    v1::AttachRequest { message: Some(message) }
}

async fn show(answers: &mut tonic::Streaming<v1::AttachResponse>, alias: &mut String) -> Result<End, CommandError> {
    let write = |data: &[u8]| {
        let mut out = std::io::stdout().lock();
        out.write_all(data).and_then(|()| out.flush()).map_err(CommandError::io("write to standard output"))
    };
    while let Some(answer) = answers.message().await? {
        match answer.message {
            Some(attach_response::Message::Opened(terminal)) => *alias = terminal.alias,
            Some(attach_response::Message::Output(data)) => write(&data)?,
            Some(attach_response::Message::Skipped(count)) => {
                write(format!("\r\n[{count} bytes were too fast for this connection]\r\n").as_bytes())?
            }
            Some(attach_response::Message::Exit(exit)) => return Ok(End::Exited(exit.code)),
            None => {}
        }
    }
    Err(CommandError::here(
        Class::Unavailable,
        "the connection to the terminal was lost",
        "the terminal goes on; come back with `crannog attach`",
    ))
}

async fn type_keys(sender: mpsc::Sender<v1::AttachRequest>, leave: oneshot::Sender<()>) {
    let mut stdin = tokio::io::stdin();
    let mut keys = DetachKeys::default();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stdin.read(&mut buffer).await {
        let (typed, leaving) = keys.filter(&buffer[..count]);
        if !typed.is_empty() && sender.send(request(attach_request::Message::Input(typed.into()))).await.is_err() {
            return;
        }
        if leaving {
            let _ = leave.send(());
            return;
        }
    }
    // Input from a pipe that has ended: the program sees what a person's Ctrl-D is, and its output is shown to its end.
    let _ = sender.send(request(attach_request::Message::Input(bytes::Bytes::from_static(b"\x04")))).await;
    std::future::pending::<()>().await;
}

fn follow_size(sender: mpsc::Sender<v1::AttachRequest>) -> Result<(), CommandError> {
    let mut changes = signal(SignalKind::window_change()).map_err(CommandError::io("listen for signals"))?;
    tokio::spawn(async move {
        while changes.recv().await.is_some() {
            let _ = sender.send(request(attach_request::Message::Resize(terminal::size()))).await;
        }
    });
    Ok(())
}
