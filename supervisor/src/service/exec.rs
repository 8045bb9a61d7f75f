//! One command on behalf of a client: bytes both ways, signals, and how it ended.
//!
//! Back-pressure: a client that does not read fills the answers' channel, then the pipe, then the program waits. A
//! program that does not read fills its pipe and [`STDIN`] messages, then the client waits; signals and sizes wait behind
//! what was typed before them. A client that goes away leaves nothing behind: SIGHUP to the process group, SIGKILL after
//! [`HANGUP_GRACE`]. What a command left running in the background lives on.

use std::time::Duration;

use api::v1::exec_request::Message as Ask;
use api::v1::exec_response::Message as Answer;
use api::v1::{ExecExit, ExecRequest, ExecResponse, ExecStart, ExecStarted};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use nix::libc::{SIGHUP, SIGKILL};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::fault::status;
use super::{ANSWERS, Answers};
use crate::context::Context;
use crate::error::SupervisorError;
use crate::process::{Command, ExitStatus, Process, Pty, Size, Stdio};

/// From SIGHUP to SIGKILL when a client went away.
const HANGUP_GRACE: Duration = Duration::from_secs(5);
/// How long output may be silent after the program's end before the end is told: others may still hold the pipe.
const LINGER: Duration = Duration::from_millis(100);
/// Messages of input that wait for the program.
const STDIN: usize = 16;
const CHUNK: usize = 64 << 10;

/// Serves one `Exec` call.
pub async fn serve(context: &Context, mut asks: Streaming<ExecRequest>) -> Result<Answers<ExecResponse>, Status> {
    let Some(Ok(ExecRequest { message: Some(Ask::Start(start)) })) = asks.next().await else {
        return Err(status(SupervisorError::BadCommand("the first message must be `start`".into())));
    };
    context.hub.active();
    let (wants_stdin, command) = (start.stdin, command(context, start).map_err(status)?);
    let mut process = context.spawner.spawn(command).map_err(status)?;
    let (answers, receiver) = mpsc::channel(ANSWERS);
    let output = Output::of(&mut process);
    tokio::spawn(feed(context.clone(), asks, Input::of(&mut process, wants_stdin), process.signaller()));
    tokio::spawn(run(process, output, answers));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn command(context: &Context, start: ExecStart) -> Result<Command, SupervisorError> {
    let user = context.users.find(&start.user)?;
    let mut env = context.environment.for_user(&user);
    let size = start.size.map_or_else(Size::default, Size::from);
    let stdio = if start.tty {
        env.insert("TERM".into(), "xterm-256color".into());
        Stdio::Terminal(size)
    } else {
        Stdio::Pipes { stdin: start.stdin }
    };
    env.extend(start.env);
    let mut command = Command::new(start.command, &user).env(env).stdio(stdio);
    command.cwd = match start.working_directory.as_str() {
        "" => context.terminals.working_directory(),
        directory => Some(directory.into()),
    };
    Ok(command)
}

type Answering = mpsc::Sender<Result<ExecResponse, Status>>;

async fn run(process: Process, mut output: Output, answers: Answering) {
    let exited = async {
        let started = Answer::Started(ExecStarted { pid: process.pid.into() });
        send(&answers, started).await?;
        let status = relay(&process, &mut output, &answers).await?;
        send(&answers, Answer::Exit(exit(status))).await
    };
    if exited.await.is_none() && process.exit.get().is_none() {
        // Our end of a terminal is closed first: its programs are hung up by the kernel too.
        drop(output);
        hang_up(&process).await;
    }
}

/// Passes output on until the program has ended and is silent. `None` when the client went away.
async fn relay(process: &Process, output: &mut Output, answers: &Answering) -> Option<ExitStatus> {
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            () = answers.closed() => return None,
            answer = output.next() => match answer {
                Some(answer) => send(answers, answer).await?,
                None => return wait(process, answers).await,
            },
            status = process.exit.wait(), if ended.is_none() => ended = Some(status),
            () = tokio::time::sleep(LINGER), if ended.is_some() => return ended,
        }
    }
}

async fn wait(process: &Process, answers: &Answering) -> Option<ExitStatus> {
    tokio::select! {
        status = process.exit.wait() => Some(status),
        () = answers.closed() => None,
    }
}

async fn send(answers: &Answering, message: Answer) -> Option<()> {
    answers.send(Ok(ExecResponse { message: Some(message) })).await.ok()
}

async fn hang_up(process: &Process) {
    process.signal(SIGHUP);
    if tokio::time::timeout(HANGUP_GRACE, process.exit.wait()).await.is_err() {
        process.signal(SIGKILL);
    }
}

/// How the API tells an end.
pub(super) fn exit(status: ExitStatus) -> ExecExit {
    ExecExit { code: status.code, signal: status.signal, oom_killed: status.oom_killed }
}

/// Where a command's output comes from.
struct Output {
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
    pty: Option<Pty>,
    buffers: [BytesMut; 2],
    /// Of the terminal; empty without one.
    page: Vec<u8>,
}

impl Output {
    fn of(process: &mut Process) -> Self {
        let page = vec![0; if process.pty.is_some() { CHUNK } else { 0 }];
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        Self { stdout, stderr, pty: process.pty.clone(), buffers: Default::default(), page }
    }

    /// What comes next; `None` when everything is closed.
    async fn next(&mut self) -> Option<Answer> {
        let [out, err] = &mut self.buffers;
        loop {
            let data = tokio::select! {
                data = read_pty(&self.pty, &mut self.page), if self.pty.is_some() => (data.map(Answer::Stdout), Which::Pty),
                data = read(&mut self.stdout, out), if self.stdout.is_some() => (data.map(Answer::Stdout), Which::Out),
                data = read(&mut self.stderr, err), if self.stderr.is_some() => (data.map(Answer::Stderr), Which::Err),
                else => return None,
            };
            match data {
                (Some(answer), _) => return Some(answer),
                (None, Which::Pty) => self.pty = None,
                (None, Which::Out) => self.stdout = None,
                (None, Which::Err) => self.stderr = None,
            }
        }
    }
}

enum Which {
    Pty,
    Out,
    Err,
}

async fn read(pipe: &mut Option<pipe::Receiver>, buffer: &mut BytesMut) -> Option<Bytes> {
    buffer.reserve(CHUNK);
    match pipe.as_mut()?.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(buffer.split().freeze()),
    }
}

async fn read_pty(pty: &Option<Pty>, page: &mut [u8]) -> Option<Bytes> {
    match pty.as_ref()?.read(page).await {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(Bytes::copy_from_slice(&page[..count])),
    }
}

/// Where a client's input goes.
struct Input {
    stdin: Option<pipe::Sender>,
    pty: Option<Pty>,
}

impl Input {
    fn of(process: &mut Process, wanted: bool) -> Self {
        Self { stdin: process.stdin.take().filter(|_| wanted), pty: process.pty.clone() }
    }

    async fn write(&mut self, bytes: &[u8]) {
        // A program that has closed its input or ended does not want it: that is no error of the client's.
        let gone = match (&self.pty, &mut self.stdin) {
            (Some(pty), _) => pty.write(bytes).await.is_err(),
            (None, Some(stdin)) => stdin.write_all(bytes).await.is_err(),
            (None, None) => false,
        };
        if gone {
            self.stdin = None;
        }
    }

    /// On a terminal the end of input is a character (Control-D).
    async fn end(&mut self) {
        self.stdin = None;
        if let Some(pty) = &self.pty {
            let _ = pty.write(&[4]).await;
        }
    }
}

async fn feed(context: Context, mut asks: Streaming<ExecRequest>, input: Input, signal: impl Fn(i32) -> bool + Send + 'static) {
    let pty = input.pty.clone();
    let (typed, receiver) = mpsc::channel(STDIN);
    let writer = tokio::spawn(write_all(input, receiver));
    while let Some(Ok(ask)) = asks.next().await {
        match ask.message {
            Some(Ask::Stdin(bytes)) => {
                context.hub.active();
                let _ = typed.send(Some(bytes)).await;
            }
            Some(Ask::StdinEof(true)) => {
                let _ = typed.send(None).await;
            }
            Some(Ask::Resize(size)) => {
                let _ = pty.as_ref().map(|pty| pty.resize(size.into()));
            }
            Some(Ask::Signal(number @ 1..=64)) => {
                signal(number);
            }
            _ => {}
        }
    }
    drop(typed);
    let _ = writer.await;
}

async fn write_all(mut input: Input, mut typed: mpsc::Receiver<Option<Bytes>>) {
    while let Some(bytes) = typed.recv().await {
        match bytes {
            Some(bytes) => input.write(&bytes).await,
            None => input.end().await,
        }
    }
}
