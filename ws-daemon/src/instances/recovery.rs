//! After a restart: what the store knows goes on from its phase; of what it does not know, nothing is left.

use std::collections::HashSet;

use domain::phase::Phase;

use super::Instances;
use crate::content_layer::{blocking, discard, empty_trash};
use crate::error::NodeError;
use crate::store::InstanceRecord;
use crate::world::{WorkspaceLock, World};

/// Owners of id ranges that are throw-away instances begin like this in the ledger.
pub(crate) const THROW_AWAY: &str = "instance:";

impl Instances {
    /// Goes on with every instance that is stored, and cleans up after those that are not. The store is read first:
    /// nothing is deleted before it is known whose it is.
    pub async fn recover(&self) -> Result<(), NodeError> {
        let store = self.world.store.clone();
        let records = blocking("read the instances", move || store.instances()).await?;
        let known: HashSet<String> = records.iter().map(|record| record.spec.id.clone()).collect();
        clean(&self.world, &known).await?;
        let writing: Vec<(InstanceRecord, Option<WorkspaceLock>)> = records
            .into_iter()
            .map(|record| {
                let lock = lock_of(&self.world, &record);
                (record, lock)
            })
            .collect();
        for (mut record, lock) in writing {
            // Numbers below the ceiling may have been used before the restart.
            record.status.sequence = record.sequence_ceiling;
            self.begin(record, lock, None);
        }
        self.recovered.send_replace(true);
        self.collect_images();
        Ok(())
    }
}

/// Those that may be writing to their workspace take its lock before anybody can ask for it.
fn lock_of(world: &World, record: &InstanceRecord) -> Option<WorkspaceLock> {
    matches!(record.phase, Phase::Starting | Phase::Running | Phase::Stopping | Phase::Storing)
        .then(|| world.locks.try_lock(&record.spec.workspace_id))
        .flatten()
}

async fn clean(world: &World, known: &HashSet<String>) -> Result<(), NodeError> {
    let is_unknown = |id: &String| !known.contains(id);
    for id in world.sandboxes.list().await?.into_iter().filter(is_unknown) {
        tracing::info!(id, "remove a container that nobody knows");
        world.sandboxes.remove(&id).await?;
    }
    for id in world.networks.list().await?.into_iter().filter(is_unknown) {
        tracing::info!(id, "remove a network that nobody knows");
        world.networks.remove(&id).await?;
    }
    let (world, known) = (world.clone(), known.clone());
    blocking("clean the node's directory", move || clean_files(&world, &known)).await
}

fn clean_files(world: &World, known: &HashSet<String>) -> Result<(), NodeError> {
    empty_trash(&world.layout.trash())?;
    let instances = world.layout.instances();
    let entries = std::fs::read_dir(&instances).map_err(NodeError::io(format!("read {}", instances.display())))?;
    for entry in entries.flatten().filter(|entry| !known.contains(&*entry.file_name().to_string_lossy())) {
        discard(&entry.path(), &world.layout.trash())?;
    }
    // Their files are gone now, and their processes were before: their ids may be given again.
    for owner in world.ledger.owners()?.iter().filter(|owner| owner.starts_with(THROW_AWAY)) {
        world.ledger.release(owner)?;
    }
    Ok(())
}
