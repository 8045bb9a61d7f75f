//! How the workspace is doing.

use std::time::Duration;

use api::supervisor::status_service_server::StatusService;
use api::supervisor::*;
use api::v1::SupervisorState;
use futures::{StreamExt as _, stream};
use tonic::{Request, Response, Status};

use super::absent::absent;
use super::{Gitpod, view};
use crate::process::usage;
use crate::service::Answers;

/// CPU is used over time: this is the time over which it is measured.
const SAMPLE: Duration = Duration::from_millis(100);

#[tonic::async_trait]
impl StatusService for Gitpod {
    type PortsStatusStream = Answers<PortsStatusResponse>;
    type TasksStatusStream = Answers<TasksStatusResponse>;

    async fn supervisor_status(
        &self,
        request: Request<SupervisorStatusRequest>,
    ) -> Result<Response<SupervisorStatusResponse>, Status> {
        if request.get_ref().will_shutdown {
            self.context.draining.cancelled().await;
        }
        Ok(Response::new(SupervisorStatusResponse { ok: true }))
    }

    /// There is no editor to wait for, as in Gitpod's headless workspaces: ready at once.
    async fn ide_status(&self, _: Request<IdeStatusRequest>) -> Result<Response<IdeStatusResponse>, Status> {
        Ok(Response::new(IdeStatusResponse { ok: true, desktop: Some(Default::default()) }))
    }

    async fn content_status(&self, request: Request<ContentStatusRequest>) -> Result<Response<ContentStatusResponse>, Status> {
        if request.get_ref().wait {
            self.context.hub.wait_for(is_ready).await;
        }
        let restarted = self.context.config.supervisor.content_ready;
        let source = if restarted { ContentSource::FromBackup } else { ContentSource::FromOther };
        let available = self.context.hub.with(is_ready);
        Ok(Response::new(ContentStatusResponse { available, source: source.into() }))
    }

    async fn backup_status(&self, _: Request<BackupStatusRequest>) -> Result<Response<BackupStatusResponse>, Status> {
        absent("BackupStatus")
    }

    async fn ports_status(&self, request: Request<PortsStatusRequest>) -> Result<Response<Self::PortsStatusStream>, Status> {
        let answer = |state: &SupervisorState| PortsStatusResponse { ports: view::ports(state) };
        Ok(Response::new(self.observe(request.get_ref().observe, answer)))
    }

    async fn tasks_status(&self, request: Request<TasksStatusRequest>) -> Result<Response<Self::TasksStatusStream>, Status> {
        let config = self.context.config.clone();
        let expected = config.spec.tasks.len();
        // Known before they run, but not told before there is a list of them: clients take an empty one as "none".
        self.context.hub.wait_for(|state| state.tasks.len() >= expected).await;
        let answer = move |state: &SupervisorState| TasksStatusResponse { tasks: view::tasks(state, &config.spec.tasks) };
        Ok(Response::new(self.observe(request.get_ref().observe, answer)))
    }

    async fn resources_status(&self, _: Request<ResourcesStatuRequest>) -> Result<Response<ResourcesStatusResponse>, Status> {
        let before = usage::cpu_micros();
        tokio::time::sleep(SAMPLE).await;
        let micros = usage::cpu_micros().saturating_sub(before);
        let limits = self.context.config.spec.resources.unwrap_or_default();
        let cpu = resource(micros * 1000 / SAMPLE.as_micros() as u64, limits.cpu_millis);
        let memory = resource(usage::memory_bytes(), limits.memory_bytes);
        Ok(Response::new(ResourcesStatusResponse { memory: Some(memory), cpu: Some(cpu) }))
    }
}

impl Gitpod {
    /// What `answer` makes of the state: once, or again whenever it has become different.
    fn observe<T>(&self, again: bool, answer: impl Fn(&SupervisorState) -> T + Send + 'static) -> Answers<T>
    where
        T: PartialEq + Clone + Send + 'static,
    {
        let first = self.context.hub.watch();
        let answers = stream::unfold((first, None, answer), |(mut watch, told, answer)| async move {
            loop {
                watch.changed().await.ok()?;
                let now = answer(&watch.borrow_and_update());
                if told.as_ref() != Some(&now) {
                    return Some((Ok(now.clone()), (watch, Some(now), answer)));
                }
            }
        });
        Box::pin(answers.take(if again { usize::MAX } else { 1 }))
    }
}

fn is_ready(state: &SupervisorState) -> bool {
    state.content.as_ref().is_some_and(|content| content.ready)
}

/// Normal below 80 % of the limit, danger from 95 % on; without a limit always normal.
fn resource(used: u64, limit: u64) -> ResourceStatus {
    let severity = match (used * 100).checked_div(limit) {
        Some(95..) => ResourceStatusSeverity::Danger,
        Some(80..) => ResourceStatusSeverity::Warning,
        _ => ResourceStatusSeverity::Normal,
    };
    ResourceStatus { used: used as i64, limit: limit as i64, severity: severity.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_follows_the_share_of_the_limit() {
        let of = |used, limit| resource(used, limit).severity();
        assert_eq!(of(79, 100), ResourceStatusSeverity::Normal);
        assert_eq!(of(80, 100), ResourceStatusSeverity::Warning);
        assert_eq!(of(95, 100), ResourceStatusSeverity::Danger);
        assert_eq!(of(95, 0), ResourceStatusSeverity::Normal);
    }
}
