//! Output of tasks.

use api::supervisor::task_service_server::TaskService;
use api::supervisor::{ListenToOutputRequest, ListenToOutputResponse};
use futures::stream;
use tonic::{Request, Response, Status};

use super::Gitpod;
use crate::service::{Answers, logs};

#[tonic::async_trait]
impl TaskService for Gitpod {
    type ListenToOutputStream = Answers<ListenToOutputResponse>;

    /// From the beginning of what is kept; ends when the task is closed and everything was sent.
    async fn listen_to_output(
        &self,
        request: Request<ListenToOutputRequest>,
    ) -> Result<Response<Self::ListenToOutputStream>, Status> {
        let task = request.into_inner().task_id;
        if !self.context.config.spec.tasks.iter().any(|spec| spec.id == task) {
            return Err(Status::not_found(format!("no task {task}")));
        }
        let Some(terminal) = logs::opened(&self.context, &task).await else {
            return Ok(Response::new(Box::pin(stream::empty())));
        };
        let output = stream::unfold(terminal.log(0), async |mut log| {
            let data = log.next().await?.data;
            Some((Ok(ListenToOutputResponse { data }), log))
        });
        Ok(Response::new(Box::pin(output)))
    }
}
