//! A viewer of a terminal over gRPC. When the stream ends, the terminal goes on as before.

use api::v1::attach_request::Message as Ask;
use api::v1::attach_response::Message as Answer;
use api::v1::{AttachRequest, AttachResponse, AttachStart};
use futures::{Stream, StreamExt as _, stream};
use std::sync::Arc;
use tonic::{Status, Streaming};

use super::exec::exit;
use super::{Answers, fault::status};
use crate::context::Context;
use crate::error::SupervisorError;
use crate::process::Size;
use crate::terminals::{OpenTerminal, Seen, Terminal, Viewer};

/// Serves one `Attach` call.
pub async fn serve(context: &Context, mut asks: Streaming<AttachRequest>) -> Result<Answers<AttachResponse>, Status> {
    let Some(Ok(AttachRequest { message: Some(Ask::Start(start)) })) = asks.next().await else {
        return Err(status(SupervisorError::BadCommand("the first message must be `start`".into())));
    };
    context.hub.active();
    let read_only = start.read_only;
    let terminal = terminal(context, start).map_err(status)?;
    if !read_only {
        tokio::spawn(feed(context.clone(), terminal.clone(), asks));
    }
    let opened = Answer::Opened(terminal.status());
    let answers = stream::iter([opened]).chain(show(terminal.view()));
    Ok(Box::pin(answers.map(|message| Ok(AttachResponse { message: Some(message) }))))
}

fn terminal(context: &Context, start: AttachStart) -> Result<Arc<Terminal>, SupervisorError> {
    let size = start.size.map(Size::from);
    if start.terminal.is_empty() {
        return context.terminals.open(OpenTerminal {
            title: start.title,
            command: start.command,
            env: start.env.into_iter().collect(),
            cwd: (!start.working_directory.is_empty()).then(|| start.working_directory.into()),
            size: size.unwrap_or_default(),
            ..OpenTerminal::default()
        });
    }
    let terminal = context.terminals.find(&start.terminal)?;
    if let Some(size) = size.filter(|_| !start.read_only) {
        // A terminal that has just ended has no size any more; its output is still worth showing.
        let _ = terminal.resize(size);
    }
    Ok(terminal)
}

fn show(viewer: Viewer) -> impl Stream<Item = Answer> + Send {
    stream::unfold(viewer, async |mut viewer| {
        let answer = match viewer.next().await? {
            Seen::Output(bytes) => Answer::Output(bytes),
            Seen::Skipped(count) => Answer::Skipped(count),
            Seen::Exit(status) => Answer::Exit(exit(status)),
        };
        Some((answer, viewer))
    })
}

async fn feed(context: Context, terminal: Arc<Terminal>, mut asks: Streaming<AttachRequest>) {
    while let Some(Ok(ask)) = asks.next().await {
        let done = match ask.message {
            Some(Ask::Input(bytes)) => {
                context.hub.active();
                terminal.write(&bytes).await
            }
            Some(Ask::Resize(size)) => terminal.resize(size.into()),
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::debug!(%error, terminal = terminal.alias(), "input of a viewer");
        }
    }
}
