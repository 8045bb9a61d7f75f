//! Making ready what a container is made of: image, content and network at once, each within its deadline.

use std::time::Duration;

use api::v1::{Condition, InstanceSpec, content_spec};
use domain::class::Class;
use tokio_util::sync::CancellationToken;

use super::message::Prepared;
use super::timeline::Timeline;
use super::{conditions, lower};
use crate::error::NodeError;
use crate::ports::{InstanceNetwork, PreparedImage, WritableLayer};
use crate::world::{WorkspaceLock, World};

/// What failed, as the condition that tells it.
pub type Failed = Condition;

/// Prepares an instance. Image and bundle can be cancelled while they come; the others are short, and are waited for so
/// that nothing is made after it was given up.
pub async fn prepare(
    world: &World,
    spec: &InstanceSpec,
    timeline: &Timeline,
    cancel: &CancellationToken,
    lock: Option<WorkspaceLock>,
) -> Result<(Prepared, WorkspaceLock), Failed> {
    let (image, content, network) = tokio::join!(
        image(world, spec, timeline, cancel),
        content(world, spec, timeline, cancel, lock),
        network(world, spec, timeline),
    );
    let image = image.map_err(|error| conditions::failed("ImageReady", &error))?;
    let (layer, bundle, lock) = content.map_err(|error| conditions::failed("ContentReady", &error))?;
    let image = settled(world, spec, timeline, cancel, image).await.map_err(|error| conditions::failed("ImageReady", &error))?;
    let network = network.map_err(|error| conditions::failed("NetworkReady", &error))?;
    let record = world.store.workspace(&spec.workspace_id).map_err(|error| conditions::failed("ContentReady", &error))?;
    let content_ready = layer.found && record.content_ready;
    let init_done = content_ready && record.init_done;
    Ok((Prepared { image, layer, network, bundle, content_ready, init_done }, lock))
}

async fn image(
    world: &World,
    spec: &InstanceSpec,
    timeline: &Timeline,
    cancel: &CancellationToken,
) -> Result<PreparedImage, NodeError> {
    let wanted = lower::wanted(world, spec)?;
    pull(world, &wanted, timeline, cancel).await
}

/// The image that the workspace's layer is made over, which the lock of the workspace has made certain.
async fn settled(
    world: &World,
    spec: &InstanceSpec,
    timeline: &Timeline,
    cancel: &CancellationToken,
    image: PreparedImage,
) -> Result<PreparedImage, NodeError> {
    match lower::settle(world, &spec.workspace_id, &image).await? {
        Some(other) => pull(world, &other, timeline, cancel).await,
        None => Ok(image),
    }
}

async fn pull(
    world: &World,
    reference: &str,
    timeline: &Timeline,
    cancel: &CancellationToken,
) -> Result<PreparedImage, NodeError> {
    let pull = within(world.limits.image, "image", world.images.prepare(reference, timeline.progress("image")));
    timeline
        .run("image", unless(cancel, pull), |image, step| {
            (step.hit, step.bytes) = (image.hit, image.bytes);
            step.detail = if image.digest.is_empty() { image.reference.clone() } else { with_digest(image) };
        })
        .await
}

fn with_digest(image: &PreparedImage) -> String {
    if image.reference.contains('@') { image.reference.clone() } else { format!("{}@{}", image.reference, image.digest) }
}

type Content = (WritableLayer, Option<std::path::PathBuf>, WorkspaceLock);

async fn content(
    world: &World,
    spec: &InstanceSpec,
    timeline: &Timeline,
    cancel: &CancellationToken,
    lock: Option<WorkspaceLock>,
) -> Result<Content, NodeError> {
    let open = async {
        // An instance before this one may still be letting go of what the workspace keeps.
        let lock = match lock {
            Some(lock) => lock,
            None => {
                unless(cancel, within(world.limits.start, "content", async { Ok(world.locks.lock(&spec.workspace_id).await) }))
                    .await?
            }
        };
        let layer = within(world.limits.content, "content", world.content.open(&spec.workspace_id)).await?;
        Ok((layer, lock))
    };
    let (layer, lock) = timeline.run("content", open, |(layer, _), step| step.hit = layer.found).await?;
    let is_ready = layer.found && world.store.workspace(&spec.workspace_id)?.content_ready;
    let bundle = match bundle_digest(spec) {
        Some(digest) if !is_ready => Some(source(world, &spec.id, digest, timeline, cancel).await?),
        _ => None,
    };
    Ok((layer, bundle, lock))
}

/// Brings a bundle to the instance.
async fn source(
    world: &World,
    id: &str,
    digest: &str,
    timeline: &Timeline,
    cancel: &CancellationToken,
) -> Result<std::path::PathBuf, NodeError> {
    crate::layout::private_directory(&world.layout.instance(id))?;
    let path = world.layout.bundle(id);
    let fetch = within(world.limits.image, "image", world.sources.fetch(digest, &path, timeline.progress("source")));
    timeline.run("source", unless(cancel, fetch), |_, _| {}).await?;
    Ok(path)
}

async fn network(world: &World, spec: &InstanceSpec, timeline: &Timeline) -> Result<InstanceNetwork, NodeError> {
    let create = within(world.limits.network, "network", world.networks.create(&spec.id));
    timeline.run("network", create, |network, step| step.detail = network.address.to_string()).await
}

/// The bundle that the first content of a spec comes from.
pub fn bundle_digest(spec: &InstanceSpec) -> Option<&str> {
    match spec.content.as_ref()?.initial.as_ref()? {
        content_spec::Initial::Git(git) if !git.bundle_digest.is_empty() => Some(&git.bundle_digest),
        _ => None,
    }
}

/// Ends early when nobody wants the result any more.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(NodeError::refused(Class::Aborted, "Canceled", "stopped before it was ready", "")),
        result = work => result,
    }
}

/// Gives a step its deadline.
pub async fn within<T>(limit: Duration, step: &str, work: impl Future<Output = Result<T, NodeError>>) -> Result<T, NodeError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(NodeError::refused(
            Class::DeadlineExceeded,
            "StepDeadlineExceeded",
            format!("the step \"{step}\" took longer than {} seconds", limit.as_secs()),
            format!("start again; if it is slow here, raise {step}_timeout in the node's settings"),
        ))
    })
}
