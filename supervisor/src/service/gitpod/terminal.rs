//! Terminals, in the words of the `supervisor` package.

use std::sync::Arc;
use std::time::Duration;

use api::supervisor::listen_terminal_response::Output;
use api::supervisor::set_terminal_size_request::Priority;
use api::supervisor::terminal_service_server::TerminalService;
use api::supervisor::{Terminal as TerminalMessage, *};
use futures::stream;
use tonic::{Request, Response, Status};

use super::Gitpod;
use crate::error::SupervisorError;
use crate::process::Size;
use crate::service::Answers;
use crate::service::fault::status;
use crate::terminals::{OpenTerminal, Seen, Terminal, Title, Viewer};

/// How often a listener is told of another program in the foreground.
const TITLES: Duration = Duration::from_millis(200);

#[tonic::async_trait]
impl TerminalService for Gitpod {
    type ListenStream = Answers<ListenTerminalResponse>;

    async fn open(&self, request: Request<OpenTerminalRequest>) -> Result<Response<OpenTerminalResponse>, Status> {
        let request = request.into_inner();
        if request.workdir.is_empty() {
            self.content_was_tried().await;
        }
        let terminal = self.context.terminals.open(wanted(request)).map_err(status)?;
        self.context.hub.active();
        let starter_token = terminal.starter_token().to_owned();
        Ok(Response::new(OpenTerminalResponse { terminal: Some(message(&terminal)), starter_token }))
    }

    async fn shutdown(&self, request: Request<ShutdownTerminalRequest>) -> Result<Response<ShutdownTerminalResponse>, Status> {
        let request = request.into_inner();
        let terminal = self.terminal(&request.alias)?;
        self.context.terminals.close(terminal.alias()).await.map_err(status)?;
        Ok(Response::new(ShutdownTerminalResponse {}))
    }

    async fn get(&self, request: Request<GetTerminalRequest>) -> Result<Response<TerminalMessage>, Status> {
        let terminal = self.terminal(&request.get_ref().alias)?;
        Ok(Response::new(message(&terminal)))
    }

    async fn list(&self, _: Request<ListTerminalsRequest>) -> Result<Response<ListTerminalsResponse>, Status> {
        let terminals = self.context.terminals.list().iter().map(message).collect();
        Ok(Response::new(ListTerminalsResponse { terminals }))
    }

    async fn listen(&self, request: Request<ListenTerminalRequest>) -> Result<Response<Self::ListenStream>, Status> {
        let terminal = self.terminal(&request.get_ref().alias)?;
        let listener = Listener { viewer: terminal.view(), told: None };
        let answers = stream::unfold(listener, async |mut listener| Some((Ok(listener.next().await?), listener)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn write(&self, request: Request<WriteTerminalRequest>) -> Result<Response<WriteTerminalResponse>, Status> {
        let request = request.into_inner();
        let terminal = self.terminal(&request.alias)?;
        self.context.hub.active();
        terminal.write(&request.stdin).await.map_err(status)?;
        Ok(Response::new(WriteTerminalResponse { bytes_written: request.stdin.len() as u32 }))
    }

    async fn set_size(&self, request: Request<SetTerminalSizeRequest>) -> Result<Response<SetTerminalSizeResponse>, Status> {
        let request = request.into_inner();
        let terminal = self.terminal(&request.alias)?;
        let may = match request.priority {
            Some(Priority::Force(force)) => force,
            Some(Priority::Token(token)) => token == terminal.starter_token(),
            None => false,
        };
        if !may {
            return Err(Status::failed_precondition("wrong token or force not set"));
        }
        terminal.resize(size(request.size.unwrap_or_default())).map_err(status)?;
        Ok(Response::new(SetTerminalSizeResponse {}))
    }

    async fn set_title(&self, request: Request<SetTerminalTitleRequest>) -> Result<Response<SetTerminalTitleResponse>, Status> {
        let request = request.into_inner();
        self.terminal(&request.alias)?.set_title(&request.title);
        Ok(Response::new(SetTerminalTitleResponse {}))
    }

    async fn update_annotations(
        &self,
        request: Request<UpdateTerminalAnnotationsRequest>,
    ) -> Result<Response<UpdateTerminalAnnotationsResponse>, Status> {
        let request = request.into_inner();
        self.terminal(&request.alias)?.annotate(request.changed, &request.deleted);
        Ok(Response::new(UpdateTerminalAnnotationsResponse {}))
    }
}

impl Gitpod {
    /// Only those that are open: by this interface a terminal is gone when its program is.
    fn terminal(&self, alias: &str) -> Result<Arc<Terminal>, Status> {
        let open = self.context.terminals.list();
        let found = open.into_iter().find(|terminal| terminal.alias() == alias);
        found.ok_or_else(|| status(SupervisorError::NoTerminal(alias.to_owned())))
    }

    async fn content_was_tried(&self) {
        let tried = |content: &api::v1::ContentStatus| content.ready || !content.error.is_empty();
        self.context.hub.wait_for(|state| state.content.as_ref().is_some_and(tried)).await;
    }
}

fn wanted(request: OpenTerminalRequest) -> OpenTerminal {
    let shell = Some(request.shell).filter(|shell| !shell.is_empty());
    OpenTerminal {
        command: shell.into_iter().chain(request.shell_args).collect(),
        env: request.env.into_iter().collect(),
        cwd: (!request.workdir.is_empty()).then(|| request.workdir.into()),
        size: request.size.map_or_else(Size::default, size),
        annotations: request.annotations.into_iter().collect(),
        ..OpenTerminal::default()
    }
}

fn size(size: TerminalSize) -> Size {
    let TerminalSize { rows, cols: columns, width_px, height_px } = size;
    api::v1::TerminalSize { columns, rows, width_px, height_px }.into()
}

fn message(terminal: &Arc<Terminal>) -> TerminalMessage {
    let (title, set) = title(terminal);
    let status = terminal.status();
    TerminalMessage {
        alias: status.alias,
        command: status.command,
        title,
        pid: status.pid,
        current_workdir: terminal.directory().unwrap_or_else(|| status.working_directory.clone()),
        initial_workdir: status.working_directory,
        annotations: terminal.annotations().into_iter().collect(),
        title_source: set.into(),
    }
}

fn title(terminal: &Terminal) -> (String, TerminalTitleSource) {
    match terminal.title() {
        Title::Set(title) => (title, TerminalTitleSource::Api),
        Title::Program(title) => (title, TerminalTitleSource::Process),
    }
}

struct Listener {
    viewer: Viewer,
    told: Option<(String, TerminalTitleSource)>,
}

impl Listener {
    async fn next(&mut self) -> Option<ListenTerminalResponse> {
        loop {
            let now = title(self.viewer.terminal());
            if self.told.as_ref() != Some(&now) {
                self.told = Some(now.clone());
                return Some(ListenTerminalResponse { output: Some(Output::Title(now.0)), title_source: now.1.into() });
            }
            let seen = tokio::time::timeout(TITLES, self.viewer.next()).await;
            let output = match seen {
                // There is no word for bytes that a slow listener missed.
                Err(_) | Ok(Some(Seen::Skipped(_))) => continue,
                Ok(None) => return None,
                Ok(Some(Seen::Output(data))) => Output::Data(data),
                Ok(Some(Seen::Exit(status))) => Output::ExitCode(status.code),
            };
            return Some(ListenTerminalResponse { output: Some(output), ..Default::default() });
        }
    }
}
