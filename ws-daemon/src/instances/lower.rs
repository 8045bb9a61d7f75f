//! Which image a workspace lives over, and which images nobody lives over any more. What a workspace wrote is worth
//! nothing over another lower: the first start decides, whatever the tag means later, and that image is never collected.

use api::v1::InstanceSpec;
use std::collections::BTreeSet;

use crate::content_layer::blocking;
use crate::error::NodeError;
use crate::ports::PreparedImage;
use crate::store::{Lower, Store};
use crate::world::World;

/// The image to ask for: the one that the writable layer was made over, else the one of the spec.
pub(super) fn wanted(world: &World, spec: &InstanceSpec) -> Result<String, NodeError> {
    let lower = world.store.workspace(&spec.workspace_id)?.lower;
    Ok(lower.map_or_else(|| spec.image.clone(), |lower| lower.reference()))
}

/// Writes down what the layer is made over, before anything is written to it. `Some` is the image to take instead: an
/// instance before this one, which held the workspace until now, has decided otherwise.
pub(super) async fn settle(world: &World, workspace_id: &str, image: &PreparedImage) -> Result<Option<String>, NodeError> {
    let (store, id, digest) = (world.store.clone(), workspace_id.to_owned(), image.digest.clone());
    let ours = Lower { image: image.reference.clone(), digest: digest.clone() };
    let lower = blocking("remember the image of a workspace", move || store.made_over(&id, ours)).await?;
    Ok((lower.digest != digest).then(|| lower.reference()))
}

/// Removes the images that no instance and no kept workspace needs. A failure is told to the log: the next call tries
/// again.
pub(super) async fn collect(world: &World) {
    let store = world.store.clone();
    let collected = async {
        let used = blocking("list the images in use", move || used(&store)).await?;
        world.images.collect(&used).await
    };
    match collected.await {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "removed images that nobody uses"),
        Err(error) => tracing::warn!(error = daemon_kit::status::chain(&error), "remove images that nobody uses"),
    }
}

fn used(store: &Store) -> Result<Vec<String>, NodeError> {
    let kept = store.lowers()?.into_iter().map(|lower| lower.digest);
    let known = store.instances()?.into_iter().map(|record| record.status.image_digest);
    let digests: BTreeSet<String> = kept.chain(known).filter(|digest| !digest.is_empty()).collect();
    Ok(digests.into_iter().collect())
}
