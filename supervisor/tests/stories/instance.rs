//! An instance to tell stories about: the real binary as PID 1, its socket and its configuration handed over as the node
//! does it. Everything in it dies with the value.

use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use api::v1::exec_request::Message as Ask;
use api::v1::exec_response::Message as Answer;
use api::v1::instance_service_client::InstanceServiceClient;
use api::v1::*;
use futures::StreamExt as _;
use prost::Message as _;
use rustix::io::FdFlags;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};

/// Longer than anything takes here, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Instance {
    pub client: InstanceServiceClient<Channel>,
    pub home: PathBuf,
    pub api_port: u16,
    unshare: Child,
    _directory: tempfile::TempDir,
}

/// How a command ended and what it said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit: ExecExit,
}

impl Instance {
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut SupervisorConfig)) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // The workspace user may be another than whoever runs the tests.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
        let home = directory.path().join("home");
        std::fs::create_dir(&home)?;
        let api_port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut config = config(&home, api_port);
        change(&mut config);
        let socket = directory.path().join("api.sock");
        let unshare = launch(UnixListener::bind(&socket)?, &config)?;
        let client = InstanceServiceClient::new(connect(socket).await?).max_decoding_message_size(64 << 20);
        Ok(Self { client, home, api_port, unshare, _directory: directory })
    }

    /// The supervisor as this machine sees it.
    pub fn pid(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.unshare.id());
        std::fs::read_to_string(path).expect("children").trim().parse().expect("one child")
    }

    /// Waits until the state is as claimed; the state then.
    pub async fn until(
        &mut self,
        claim: &str,
        mut holds: impl FnMut(&SupervisorState) -> bool,
    ) -> anyhow::Result<SupervisorState> {
        let mut states = self.client.watch_state(WatchStateRequest {}).await?.into_inner();
        let mut last = SupervisorState::default();
        let waiting = async {
            while let Some(state) = states.message().await? {
                last = state;
                if holds(&last) {
                    return anyhow::Ok(());
                }
            }
            anyhow::bail!("the instance ended")
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited
            .unwrap_or_else(|_| Err(anyhow::anyhow!("too long")))
            .with_context(|| format!("still waiting until {claim}: {last:#?}"))?;
        Ok(last)
    }

    /// Waits for the end of PID 1.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        wait_until("PID 1 has ended", || Ok(self.unshare.try_wait()?.is_some())).await
    }

    pub async fn begin(&mut self, start: ExecStart) -> anyhow::Result<(mpsc::Sender<ExecRequest>, Streaming<ExecResponse>)> {
        let (asks, receiver) = mpsc::channel(4);
        asks.send(ask(Ask::Start(start))).await?;
        let answers = self.client.exec(ReceiverStream::new(receiver)).await?.into_inner();
        Ok((asks, answers))
    }

    /// Runs a command to its end with this input.
    pub async fn exec(&mut self, argv: &[&str], stdin: &[u8]) -> anyhow::Result<Told> {
        let (asks, answers) = self.begin(start(argv)).await?;
        let input = stdin.to_vec();
        tokio::spawn(async move {
            for chunk in input.chunks(60_000) {
                let _ = asks.send(ask(Ask::Stdin(chunk.to_vec().into()))).await;
            }
            let _ = asks.send(ask(Ask::StdinEof(true))).await;
        });
        tokio::time::timeout(PATIENCE, collect(answers)).await?
    }

    pub async fn shell(&mut self, script: &str) -> anyhow::Result<Told> {
        self.exec(&["/bin/bash", "-c", script], b"").await
    }

    pub async fn open(
        &mut self,
        script: &str,
    ) -> anyhow::Result<(String, mpsc::Sender<AttachRequest>, Streaming<AttachResponse>)> {
        let command = vec!["/bin/bash".into(), "-c".into(), script.into()];
        self.attach(AttachStart { command, ..Default::default() }).await
    }

    pub async fn attach(
        &mut self,
        start: AttachStart,
    ) -> anyhow::Result<(String, mpsc::Sender<AttachRequest>, Streaming<AttachResponse>)> {
        let (asks, receiver) = mpsc::channel(4);
        asks.send(AttachRequest { message: Some(attach_request::Message::Start(start)) }).await?;
        let mut answers = self.client.attach(ReceiverStream::new(receiver)).await?.into_inner();
        match answers.message().await?.and_then(|answer| answer.message) {
            Some(attach_response::Message::Opened(terminal)) => Ok((terminal.alias, asks, answers)),
            other => anyhow::bail!("expected `opened`, not {other:?}"),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

pub fn start(argv: &[&str]) -> ExecStart {
    ExecStart { command: argv.iter().map(|&word| word.to_owned()).collect(), stdin: true, ..Default::default() }
}

pub fn ask(message: Ask) -> ExecRequest {
    ExecRequest { message: Some(message) }
}

pub async fn collect(mut answers: Streaming<ExecResponse>) -> anyhow::Result<Told> {
    let mut told = Told::default();
    while let Some(answer) = answers.next().await {
        match answer?.message.context("an empty message")? {
            Answer::Started(_) => {}
            Answer::Stdout(bytes) => told.stdout.extend_from_slice(&bytes),
            Answer::Stderr(bytes) => told.stderr.extend_from_slice(&bytes),
            Answer::Exit(exit) => told.exit = exit,
        }
    }
    Ok(told)
}

/// Waits until a claim holds; says which one did not.
pub async fn wait_until(claim: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds()? {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "still waiting until {claim}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn config(home: &Path, api_port: u16) -> SupervisorConfig {
    let spec = InstanceSpec {
        id: "1".repeat(32),
        workspace_id: "2".repeat(32),
        workspace_name: "story".into(),
        kind: Kind::Workspace.into(),
        content: Some(ContentSpec { initial: Some(content_spec::Initial::Empty(true)) }),
        working_directory: home.join("app").display().to_string(),
        repository_directory: home.join("app").display().to_string(),
        edge_url_template: "http://{port}-story.localhost:7280".into(),
        ..Default::default()
    };
    SupervisorConfig {
        spec: Some(spec),
        user: "root".into(),
        home: home.display().to_string(),
        shell: "/bin/bash".into(),
        api_port: api_port.into(),
        ..Default::default()
    }
}

/// An instance has a /run of its own.
const ROOM: &str = "mount -t tmpfs run /run && exec \"$0\"";

/// PID 1 of a new PID namespace with its own /proc; without privilege in a user namespace too.
fn launch(listener: UnixListener, config: &SupervisorConfig) -> anyhow::Result<Child> {
    let sealed = sys::memfd::sealed("config", &config.encode_to_vec())?;
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child=KILL", "sh", "-c", ROOM, &binary()]);
    command.env("CRANNOG_API_FD", inherit(&listener)?).env("CRANNOG_CONFIG_FD", inherit(&sealed)?);
    command.stdin(Stdio::null()).spawn().context("unshare (util-linux) is needed")
}

/// The debug build, or the one that is shipped: `CRANNOG_SUPERVISOR=target/…/dist/supervisor`.
fn binary() -> String {
    std::env::var("CRANNOG_SUPERVISOR").unwrap_or_else(|_| env!("CARGO_BIN_EXE_supervisor").to_owned())
}

fn inherit(fd: impl AsFd) -> anyhow::Result<String> {
    rustix::io::fcntl_setfd(fd.as_fd(), FdFlags::empty())?;
    Ok(fd.as_fd().as_raw_fd().to_string())
}

async fn connect(socket: PathBuf) -> anyhow::Result<Channel> {
    let dial = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(tokio::net::UnixStream::connect(socket).await?)) }
    });
    let endpoint = Endpoint::from_static("http://instance").initial_stream_window_size(1 << 20);
    Ok(endpoint.connect_with_connector(dial).await?)
}
