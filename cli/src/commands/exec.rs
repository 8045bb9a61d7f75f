//! `crannog exec`: the command inside, as if it ran here. Standard input, output and error stay apart and binary clean;
//! signals go in, the exit status comes out.

use std::io::Write as _;

use api::v1::{self, exec_request, exec_response};
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;

use crate::args::Exec;
use crate::client::Api;
use crate::error::CommandError;
use crate::terminal::{self, RawMode};

pub async fn run(mut api: Api, options: Exec) -> Result<(), CommandError> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let _ = sender.send(request(exec_request::Message::Start(start(&options)))).await;
    let mut answers = api.exec(tokio_stream::wrappers::ReceiverStream::new(receiver)).await?.into_inner();
    let raw = if options.tty { RawMode::enter() } else { None };
    forward_signals(&sender, options.tty)?;
    if options.interactive {
        tokio::spawn(forward_stdin(sender.clone()));
    }
    let exit = receive(&mut answers).await;
    drop(raw);
    drop(sender);
    match exit? {
        0 => Ok(()),
        code => Err(CommandError::Exit(u8::try_from(code & 0xff).unwrap_or(1))),
    }
}

fn start(options: &Exec) -> v1::ExecStart {
    let mut env: std::collections::HashMap<String, String> = options.env.iter().cloned().collect();
    if options.tty {
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".into());
        env.entry("TERM".into()).or_insert(term);
    }
    v1::ExecStart {
        workspace: options.target.workspace.clone(),
        command: options.command.clone(),
        env,
        user: options.user.clone().unwrap_or_default(),
        working_directory: options.workdir.clone().unwrap_or_default(),
        tty: options.tty,
        stdin: options.interactive,
        size: options.tty.then(terminal::size),
    }
}

fn request(message: exec_request::Message) -> v1::ExecRequest {
    v1::ExecRequest { message: Some(message) }
}

async fn receive(answers: &mut tonic::Streaming<v1::ExecResponse>) -> Result<i32, CommandError> {
    let write = |mut out: Box<dyn std::io::Write>, data: &[u8]| out.write_all(data).and_then(|()| out.flush());
    while let Some(answer) = answers.message().await? {
        match answer.message {
            Some(exec_response::Message::Stdout(data)) => {
                write(Box::new(std::io::stdout().lock()), &data).map_err(CommandError::io("write to standard output"))?
            }
            Some(exec_response::Message::Stderr(data)) => {
                write(Box::new(std::io::stderr().lock()), &data).map_err(CommandError::io("write to standard error"))?
            }
            Some(exec_response::Message::Exit(exit)) => {
                if exit.oom_killed {
                    eprintln!("crannog: the command was killed because the workspace ran out of memory");
                }
                return Ok(exit.code);
            }
            Some(exec_response::Message::Started(_)) | None => {}
        }
    }
    Err(CommandError::here(domain::class::Class::Unavailable, "the workspace ended before the command did", "see `crannog list`"))
}

async fn forward_stdin(sender: Sender<v1::ExecRequest>) {
    let mut stdin = tokio::io::stdin();
    loop {
        let mut data = bytes::BytesMut::with_capacity(64 * 1024);
        match stdin.read_buf(&mut data).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                if sender.send(request(exec_request::Message::Stdin(data.freeze()))).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = sender.send(request(exec_request::Message::StdinEof(true))).await;
}

/// Signals that a person or a program sends to us are meant for the command. With a terminal, Ctrl-C is a byte.
fn forward_signals(sender: &Sender<v1::ExecRequest>, tty: bool) -> Result<(), CommandError> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    for kind in kinds {
        let mut arrivals = signal(kind).map_err(CommandError::io("listen for signals"))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                let _ = sender.send(request(exec_request::Message::Signal(kind.as_raw_value()))).await;
            }
        });
    }
    if tty {
        let mut arrivals = signal(SignalKind::window_change()).map_err(CommandError::io("listen for signals"))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while arrivals.recv().await.is_some() {
                let _ = sender.send(request(exec_request::Message::Resize(terminal::size()))).await;
            }
        });
    }
    Ok(())
}
