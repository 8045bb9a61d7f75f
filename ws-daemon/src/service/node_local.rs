//! `NodeLocalService`: what a node itself answers.

use std::collections::HashMap;
use std::pin::Pin;

use api::v1::node_local_service_server::NodeLocalService;
use api::v1::{LogsRequest, LogsResponse, Phase, ResolveRequest, ResolveResponse};
use daemon_kit::status::to_status;
use domain::class::Class;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::content_layer::blocking;
use crate::error::NodeError;
use crate::instances::Instances;
use crate::resolve::Resolver;
use crate::world::now_ms;

/// The handlers.
pub struct NodeLocal {
    instances: Instances,
    resolver: Resolver,
}

impl NodeLocal {
    /// Serves what these two know.
    pub fn new(instances: Instances, resolver: Resolver) -> Self {
        Self { instances, resolver }
    }
}

#[tonic::async_trait]
impl NodeLocalService for NodeLocal {
    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveResponse>, Status> {
        self.resolver.resolve(request.into_inner()).await.map(Response::new).map_err(|error| to_status(&error))
    }

    type LogsStream = Pin<Box<dyn Stream<Item = Result<LogsResponse, Status>> + Send>>;

    /// The reader sets the pace: at most four pieces wait for it. One that goes away ends the reading.
    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let (sender, pieces) = mpsc::channel(4);
        let reading = Reading::begin(self.instances.clone(), request.into_inner()).map_err(|error| to_status(&error))?;
        tokio::spawn(async move {
            if let Err(error) = reading.send_all(&sender).await {
                let _ = sender.send(Err(to_status(&error))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(pieces))))
    }
}

/// One reader of the logs of a workspace.
struct Reading {
    instances: Instances,
    workspace: String,
    instance: String,
    task: String,
    follow: bool,
    offsets: HashMap<String, u64>,
    closed: Vec<String>,
}

impl Reading {
    fn begin(instances: Instances, request: LogsRequest) -> Result<Self, NodeError> {
        let none = || {
            let hint = "logs are there once a task has run";
            NodeError::refused(Class::NotFound, "NoLogs", "there are no logs of this workspace on the node", hint)
        };
        let is_id = domain::name::is_id(&request.workspace);
        let instance = is_id.then(|| instances.world().logs.instance(&request.workspace)).flatten().ok_or_else(none)?;
        Ok(Self {
            instances,
            workspace: request.workspace,
            instance,
            task: request.task,
            follow: request.follow,
            offsets: request.offsets,
            closed: Vec::new(),
        })
    }

    async fn send_all(mut self, to: &mpsc::Sender<Result<LogsResponse, Status>>) -> Result<(), NodeError> {
        let mut news = self.instances.world().logs.watch();
        let mut statuses = self.instances.world().reports.watch();
        loop {
            let goes_on = self.follow && self.is_alive();
            if !self.send_what_is_there(to).await? || !goes_on {
                return Ok(());
            }
            tokio::select! {
                _ = news.changed() => {}
                _ = statuses.changed() => {}
                () = to.closed() => return Ok(()),
            }
        }
    }

    /// `false` when the reader is gone.
    async fn send_what_is_there(&mut self, to: &mpsc::Sender<Result<LogsResponse, Status>>) -> Result<bool, NodeError> {
        for task in self.tasks() {
            while !self.closed.contains(&task) {
                let (logs, workspace, instance) =
                    (self.instances.world().logs.clone(), self.workspace.clone(), self.instance.clone());
                let (name, offset) = (task.clone(), self.offsets.get(&task).copied().unwrap_or_default());
                let piece = blocking("read a log", move || logs.read(&workspace, &instance, &name, offset)).await?;
                if piece.data.is_empty() && !piece.closed {
                    break;
                }
                self.offsets.insert(task.clone(), piece.offset + piece.data.len() as u64);
                if piece.closed {
                    self.closed.push(task.clone());
                }
                let response = LogsResponse {
                    task: piece.task,
                    offset: piece.offset,
                    data: piece.data.into(),
                    closed: piece.closed,
                    time_unix_ms: now_ms(),
                };
                if to.send(Ok(response)).await.is_err() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Tasks that were asked for, by id or name.
    fn tasks(&self) -> Vec<String> {
        let mut tasks = self.instances.world().logs.tasks(&self.workspace, &self.instance);
        if !self.task.is_empty() {
            let status = self.instances.status(&self.instance).unwrap_or_default();
            let named = status.tasks.iter().find(|task| task.name == self.task).map(|task| task.id.clone());
            tasks.retain(|task| *task == self.task || Some(task) == named.as_ref());
        }
        tasks
    }

    fn is_alive(&self) -> bool {
        self.instances
            .status(&self.instance)
            .is_some_and(|status| matches!(status.phase(), Phase::Preparing | Phase::Starting | Phase::Running | Phase::Stopping))
    }
}
