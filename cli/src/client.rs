//! The connection to the server: found by flags, environment, or what the server wrote down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::v1::workspace_service_client::WorkspaceServiceClient;
use domain::class::Class;
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::args::Connection;
use crate::error::CommandError;

/// Where a server keeps its data when nothing else is said.
pub const DEFAULT_DATA: &str = "/var/lib/crannog";

/// What a running server writes for clients: `client.json` in its data directory and in its owner's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientFile {
    /// "http://127.0.0.1:7270"
    pub server: String,
    /// The owner's token.
    pub token: String,
}

/// The API with the owner's token on every call.
pub type Api = WorkspaceServiceClient<InterceptedService<Channel, Bearer>>;

/// Adds `authorization: Bearer TOKEN`.
#[derive(Debug, Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Connects, or says how to start a server.
pub async fn connect(connection: &Connection) -> Result<Api, CommandError> {
    let ClientFile { server, token } = locate(connection)?;
    let away = |why: String| {
        CommandError::here(
            Class::Unavailable,
            format!("no Crannog server answers at {server} ({why})"),
            "start one with `sudo crannog server`, or name one with --server URL and --token TOKEN",
        )
    };
    let invalid = |_| {
        CommandError::here(
            Class::InvalidArgument,
            format!("'{server}' is not an address of a server"),
            "write it as http://127.0.0.1:7270",
        )
    };
    let endpoint = Endpoint::from_shared(server.clone())
        .map_err(invalid)?
        .connect_timeout(Duration::from_secs(5))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(|error| away(root_cause(&error)))?;
    let value = format!("Bearer {token}").parse().map_err(|_| {
        CommandError::here(
            Class::InvalidArgument,
            "the token has characters that cannot be sent",
            "copy it again from the server's client.json",
        )
    })?;
    Ok(WorkspaceServiceClient::with_interceptor(channel, Bearer(value)).max_decoding_message_size(16 << 20))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Flags and environment first; then the data directory's file; then the user's own.
fn locate(connection: &Connection) -> Result<ClientFile, CommandError> {
    if let (Some(server), Some(token)) = (&connection.server, &connection.token) {
        return Ok(ClientFile { server: server.clone(), token: token.clone() });
    }
    let found = match &connection.data {
        Some(data) => read(&data.join("client.json"))?,
        None => match read(&Path::new(DEFAULT_DATA).join("client.json")) {
            Ok(Some(file)) => Some(file),
            _ => user_file().map(|path| read(&path)).transpose()?.flatten(),
        },
    };
    let mut file = found.ok_or_else(|| no_server(connection))?;
    if let Some(server) = &connection.server {
        file.server.clone_from(server);
    }
    if let Some(token) = &connection.token {
        file.token.clone_from(token);
    }
    Ok(file)
}

/// `$XDG_CONFIG_HOME/crannog/client.json`, where a server with the default data directory writes for its owner.
pub fn user_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    Some(config.or_else(home)?.join("crannog/client.json"))
}

fn read(path: &Path) -> Result<Option<ClientFile>, CommandError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CommandError::io(format!("read {}", path.display()))(error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        CommandError::here(
            Class::DataLoss,
            format!("{} is not what a server writes: {error}", path.display()),
            "start the server again; it writes the file anew",
        )
    })
}

fn no_server(connection: &Connection) -> CommandError {
    let place = connection.data.as_deref().unwrap_or(Path::new(DEFAULT_DATA));
    let mut start = "sudo crannog server".to_owned();
    if let Some(data) = &connection.data {
        start = format!("{start} --data {}", data.display());
    }
    CommandError::here(
        Class::Unavailable,
        format!("no Crannog server has run with {}", place.display()),
        format!("start one with `{start}`, or name one with --server URL and --token TOKEN"),
    )
}
