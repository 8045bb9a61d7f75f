//! Output of tasks by offset, what is kept and what comes.

use std::sync::Arc;

use api::v1::{LogsRequest, LogsResponse, task_status};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{ANSWERS, Answers};
use crate::context::Context;
use crate::terminals::{LogChunk, Terminal};

/// Serves one `Logs` call.
pub fn serve(context: &Context, request: LogsRequest) -> Result<Answers<LogsResponse>, Status> {
    let wanted = |id: &str, name: &str| request.task.is_empty() || request.task == id || request.task == name;
    let tasks: Vec<String> =
        context.config.spec.tasks.iter().filter(|task| wanted(&task.id, &task.name)).map(|t| t.id.clone()).collect();
    if tasks.is_empty() && !request.task.is_empty() {
        return Err(Status::not_found(format!("no task {}", request.task)));
    }
    let (answers, receiver) = mpsc::channel(ANSWERS);
    for task in tasks {
        let from = request.offsets.get(&task).copied().unwrap_or(0);
        tokio::spawn(send(context.clone(), task, from, request.follow, answers.clone()));
    }
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

type Answering = mpsc::Sender<Result<LogsResponse, Status>>;

async fn send(context: Context, task: String, from: u64, follow: bool, answers: Answering) {
    let terminal = if follow { opened(&context, &task).await } else { context.terminals.task(&task) };
    let Some(terminal) = terminal else { return };
    let mut log = terminal.log(from);
    let mut at = from;
    loop {
        let chunk = tokio::select! {
            chunk = async { if follow { log.next().await } else { log.now() } } => chunk,
            () = answers.closed() => return,
        };
        let Some(chunk) = chunk else { break };
        at = chunk.offset + chunk.data.len() as u64;
        if answers.send(Ok(answer(&task, chunk))).await.is_err() {
            return;
        }
    }
    if terminal.exit().get().is_some() {
        let closed = LogsResponse { task, offset: at, closed: true, ..Default::default() };
        let _ = answers.send(Ok(closed)).await;
    }
}

fn answer(task: &str, chunk: LogChunk) -> LogsResponse {
    let LogChunk { offset, data, time_unix_ms } = chunk;
    LogsResponse { task: task.to_owned(), offset, data, closed: false, time_unix_ms }
}

/// A task's terminal, as soon as there is one; `None` when the task ended without.
pub(super) async fn opened(context: &Context, task: &str) -> Option<Arc<Terminal>> {
    let of_task = |state: &api::v1::SupervisorState| state.tasks.iter().find(|status| status.id == task).cloned();
    let opened = |status: &api::v1::TaskStatus| !status.terminal.is_empty() || status.state() == task_status::State::Closed;
    tokio::select! {
        () = context.hub.wait_for(|state| of_task(state).as_ref().is_some_and(opened)) => context.terminals.task(task),
        () = context.draining.cancelled() => None,
    }
}
