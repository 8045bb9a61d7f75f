//! Those who watch a running container and tell its actor: the end of PID 1, the supervisor's words, what it uses.

use std::os::fd::OwnedFd;
use std::time::Duration;

use api::v1::WatchStateRequest;
use domain::phase::Event;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::message::Message;
use crate::backoff::Backoff;
use crate::descriptors::watched;
use crate::error::NodeError;
use crate::ports::Running;
use crate::supervisor;
use crate::world::World;

/// Between two states of one supervisor: a flood of them waits in its own socket.
const STATE_INTERVAL: Duration = Duration::from_millis(25);

/// Watchers of one container; they end when this is dropped.
pub struct Watchers {
    _end: DropGuard,
    /// Ends when the logs of the container have been read to their end.
    pub logs: tokio::task::JoinHandle<()>,
}

/// Begins to watch.
pub fn watch(world: &World, id: &str, workspace_id: &str, running: Running, actor: &Sender<Message>) -> Watchers {
    let end = CancellationToken::new();
    let until = |work| end.clone().run_until_cancelled_owned(work);
    tokio::spawn(end.clone().run_until_cancelled_owned(exit(world.clone(), id.into(), running.pidfd, actor.clone())));
    tokio::spawn(end.clone().run_until_cancelled_owned(states(world.clone(), id.into(), actor.clone())));
    tokio::spawn(end.clone().run_until_cancelled_owned(usage(world.clone(), id.into(), actor.clone())));
    tokio::spawn(end.clone().run_until_cancelled_owned(disk(world.clone(), workspace_id.into(), actor.clone())));
    let collect = crate::logs::collect(world.logs.clone(), world.layout.supervisor_socket(id), workspace_id.into(), id.into());
    let collect = until(collect);
    let logs = tokio::spawn(async move {
        collect.await;
    });
    Watchers { _end: end.drop_guard(), logs }
}

/// Waits for the end of PID 1 and tells it, with the last word on memory first: who was killed for it is named.
async fn exit(world: World, id: String, pidfd: OwnedFd, actor: Sender<Message>) {
    if let Err(error) = ended(pidfd).await {
        tracing::error!(%error, id, "wait for the end of PID 1");
    }
    if let Ok(usage) = world.sandboxes.usage(&id).await {
        let _ = actor.send(Message::Usage(usage)).await;
    }
    let _ = actor.send(Message::Happened(Event::ContainerExited, None)).await;
}

async fn ended(pidfd: OwnedFd) -> std::io::Result<()> {
    watched(pidfd, tokio::io::Interest::READABLE)?.readable().await.map(drop)
}

/// Follows the supervisor's state; connects again whenever the stream ends, for as long as the container lives.
async fn states(world: World, id: String, actor: Sender<Message>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        if let Err(error) = follow(&world, &id, &actor, &mut backoff).await {
            tracing::debug!(%error, id, "follow the supervisor");
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

async fn follow(world: &World, id: &str, actor: &Sender<Message>, backoff: &mut Backoff) -> Result<(), NodeError> {
    let mut client = supervisor::connect(&world.layout.supervisor_socket(id)).await?;
    let answer = client.watch_state(WatchStateRequest {}).await.map_err(|status| supervisor::refused(&status))?;
    let mut states = answer.into_inner();
    while let Some(state) = states.message().await.map_err(|status| supervisor::refused(&status))? {
        backoff.reset();
        if actor.send(Message::Supervisor(Box::new(state))).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(STATE_INTERVAL).await;
    }
    Ok(())
}

async fn usage(world: World, id: String, actor: Sender<Message>) {
    let mut ticks = tokio::time::interval(world.limits.usage_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(usage) = world.sandboxes.usage(&id).await
            && actor.send(Message::Usage(usage)).await.is_err()
        {
            return;
        }
    }
}

/// A workspace may hold millions of files: they are counted seldom, the first time when the container starts.
async fn disk(world: World, workspace_id: String, actor: Sender<Message>) {
    let mut ticks = tokio::time::interval(world.limits.disk_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        measure(&world, &workspace_id, &actor).await;
    }
}

/// Tells how much a workspace holds on the disk.
pub async fn measure(world: &World, workspace_id: &str, actor: &Sender<Message>) {
    match world.content.size(workspace_id).await {
        Ok(bytes) => drop(actor.send(Message::Disk(bytes)).await),
        Err(error) => tracing::debug!(%error, workspace_id, "measure a workspace"),
    }
}
