//! A Git host over HTTP: `git http-backend` behind a small server that writes down every request and can be in a bad mood.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The largest request that is taken.
const BODY_MAX: usize = 64 << 20;

/// How the host answers.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Everybody may read.
    Open,
    /// Only with these.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// Everything is elsewhere: status 302 to this base with the same path.
    Redirect(String),
    /// Always this status.
    Refuse(u16),
    /// Takes the request and never answers.
    Stall,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// "GET".
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Every header.
    pub headers: HeaderMap,
}

impl Seen {
    /// Whether it brought credentials.
    pub fn has_credentials(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }
}

/// A host that serves until it is dropped.
pub struct HttpHost {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Serving {
    root: PathBuf,
    mode: Mode,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl HttpHost {
    /// Serves the bare repositories below `root` on a free port of loopback.
    pub async fn serve(root: &Path, mode: Mode) -> anyhow::Result<Self> {
        Self::on(TcpListener::bind("127.0.0.1:0").await?, root, mode)
    }

    /// The same on a listener of the caller's: another address, another network namespace.
    pub fn on(listener: TcpListener, root: &Path, mode: Mode) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let serving = Serving { root: root.to_owned(), mode, seen: seen.clone() };
        let router = Router::new().fallback(answer).with_state(serving);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, seen, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// URL of one of its repositories.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic under the lock").clone()
    }
}

impl Drop for HttpHost {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(serving): State<Serving>, request: Request) -> Response {
    let path = request.uri().path_and_query().map(|p| p.as_str().to_owned()).unwrap_or_default();
    let (method, headers) = (request.method().to_string(), request.headers().clone());
    let seen = Seen { method, path: path.clone(), headers };
    serving.seen.lock().expect("no panic under the lock").push(seen.clone());
    match &serving.mode {
        Mode::Redirect(base) => (StatusCode::FOUND, [(header::LOCATION, format!("{base}{path}"))]).into_response(),
        Mode::Refuse(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response()
        }
        Mode::Stall => std::future::pending().await,
        Mode::Basic { user, password } if !knows(&seen, user, password) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response()
        }
        Mode::Open | Mode::Basic { .. } => match backend(&serving.root, &seen, request.into_body()).await {
            Ok(response) => response,
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        },
    }
}

fn knows(seen: &Seen, user: &str, password: &str) -> bool {
    let given = seen.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given == format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// RFC 4648, by hand: three lines are no reason for a dependency of the test kit.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..4).map(|at| char::from(DIGITS[(word >> (18 - 6 * at)) as usize & 63]));
        text.extend(digits.take(chunk.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

/// The CGI of git-http-backend(1).
async fn backend(root: &Path, seen: &Seen, body: Body) -> anyhow::Result<Response> {
    let (path, query) = seen.path.split_once('?').unwrap_or((&seen.path, ""));
    let header = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &seen.method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let body = axum::body::to_bytes(body, BODY_MAX).await?;
    let (mut stdin, mut stdout) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
    let writing = tokio::spawn(async move {
        // It may have seen enough before the end.
        let _ = stdin.write_all(&body).await;
    });
    let mut output = Vec::new();
    stdout.read_to_end(&mut output).await?;
    writing.await?;
    child.wait().await?;
    response(&output)
}

fn response(output: &[u8]) -> anyhow::Result<Response> {
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").context("the backend sent no header")?;
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..end])?.lines() {
        let (name, value) = line.split_once(": ").context("a header without a colon")?;
        response = match name {
            "Status" => response.status(value.split(' ').next().context("no status")?.parse::<u16>()?),
            name => response.header(name, value),
        };
    }
    Ok(response.body(Body::from(output[end + 4..].to_vec()))?)
}
