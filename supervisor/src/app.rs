//! Puts the parts together, in the order in which an instance comes to life: reaper, door for the node, content, then
//! tasks and ports. The only room that knows all others.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::v1::instance_service_server::InstanceServiceServer;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::config::{Config, Inputs};
use crate::context::Context;
use crate::environment::Environment;
use crate::hub::Hub;
use crate::process::Spawner;
use crate::process::users::{User, Users};
use crate::reap::Reaper;
use crate::service::{fault, gitpod, instance::Instance};
use crate::shutdown::Shutdown;
use crate::terminals::Terminals;
use crate::timeline::Timeline;
use crate::{content, ports, tasks};

/// How long answers may still be on their way when everything inside has ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// Window of one stream and of one connection: enough that a terminal or a pipe is never held up by acknowledgements.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// One message of input is one frame.
const FRAME: u32 = 128 << 10;

/// Runs the instance to its end.
pub async fn run(inputs: Inputs) -> anyhow::Result<()> {
    let (context, reaper) = build(inputs.config).context("become the parent of orphans")?;
    let shutdown = Shutdown::new(context.clone(), reaper);
    let api = UnixListener::from_std(inputs.api).context("use the API socket")?;
    let server = tokio::spawn(serve(context.clone(), shutdown.clone(), api));
    tokio::spawn(obey(shutdown.clone()));
    if !context.config.is_job() {
        tokio::spawn(serve_inside(context.clone()));
        tokio::spawn(live(context));
    }
    shutdown.drained().await;
    // Streams that watch never end by themselves; those that were about to say something get the time to.
    let _ = tokio::time::timeout(FAREWELL, server).await;
    Ok(())
}

fn build(config: Config) -> std::io::Result<(Context, Reaper)> {
    let hub = Hub::default();
    let told = hub.clone();
    let reaper = Reaper::start(move |kills| told.update(|state| state.oom_kills = kills))?;
    let spawner = Spawner::new(reaper.clone(), !config.spec.allow_sudo);
    let users = Users::new("/etc", workspace_user(&config));
    let environment = Arc::new(Environment::new(&config));
    let terminals = Terminals::new(&config, spawner.clone(), users.clone(), environment.clone(), hub.clone());
    let timeline = Timeline::new(hub.clone());
    let (config, draining) = (Arc::new(config), CancellationToken::new());
    let ports = crate::ports::table(&config);
    let context = Context { config, hub, spawner, terminals, timeline, users, environment, ports, draining };
    Ok((context, reaper))
}

fn workspace_user(config: &Config) -> User {
    let supervisor = &config.supervisor;
    User {
        name: supervisor.user.clone(),
        uid: supervisor.uid,
        gid: supervisor.gid,
        groups: Vec::new(),
        home: supervisor.home.clone(),
        shell: supervisor.shell.clone(),
    }
}

async fn serve(context: Context, shutdown: Shutdown, api: UnixListener) {
    let done = shutdown.clone();
    let served = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .add_service(InstanceServiceServer::new(Instance::new(context, shutdown)))
        .serve_with_incoming_shutdown(UnixListenerStream::new(api), async move { done.drained().await });
    if let Err(error) = served.await {
        tracing::error!(error = fault::chain(&error), "the API socket");
    }
}

/// Programs inside find the `supervisor` package on loopback. Without it the instance still works for its node.
async fn serve_inside(context: Context) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, context.config.api_port));
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!(%address, %error, "programs inside cannot ask the supervisor"),
    };
    if let Err(error) = gitpod::router(&context).serve_with_incoming(TcpListenerStream::new(listener)).await {
        tracing::error!(error = fault::chain(&error), "the API for programs inside");
    }
}

/// SIGTERM and SIGINT end the instance as `Shutdown` does.
async fn obey(shutdown: Shutdown) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return tracing::error!("signals cannot be received");
    };
    let reason = tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    };
    shutdown.drain(Duration::ZERO, reason).await;
}

/// What happens by itself: content, then tasks and ports. Failed content leaves an instance that people can look into.
async fn live(context: Context) {
    let brought = content::bring_in(&context).await;
    tokio::spawn(ports::watch(context.clone()));
    match brought {
        Ok(content) => {
            context.hub.condition(conditions::holds("ContentReady"));
            tasks::run(context, content).await;
        }
        Err(error) => context.hub.condition(conditions::fails("ContentReady", &error)),
    }
}

mod conditions {
    use api::v1::{Condition, condition::Status};
    use domain::class::Classify;

    use crate::clock::unix_ms;
    use crate::service::fault;

    pub fn holds(r#type: &str) -> Condition {
        let status = Status::True.into();
        Condition { r#type: r#type.into(), status, reason: r#type.into(), since_unix_ms: unix_ms(), ..Default::default() }
    }

    pub fn fails(r#type: &str, error: &impl Classify) -> Condition {
        Condition {
            r#type: r#type.into(),
            status: Status::False.into(),
            reason: error.reason().into(),
            message: fault::chain(error),
            hint: error.hint().unwrap_or_default(),
            since_unix_ms: unix_ms(),
            class: error.class().as_str().into(),
        }
    }
}
