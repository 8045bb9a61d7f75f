//! What this node remembers across restarts: instances with their specs and phases, what is known of each workspace, and
//! which id ranges belong to whom. Written before acting: a transaction is on the disk when a call returns.

mod records;

use std::path::Path;
use std::sync::Arc;

use domain::class::Class;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::error::NodeError;
pub use records::{InstanceRecord, Lower, StopRequest, WorkspaceRecord};

/// The form of the database that this version writes and reads.
const FORMAT: &str = "1";

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const INSTANCES: TableDefinition<&str, &[u8]> = TableDefinition::new("instances");
const WORKSPACES: TableDefinition<&str, &[u8]> = TableDefinition::new("workspaces");
/// First id of a range → who owns it: a workspace id, or "instance:ID" of a throw-away one.
const RANGES: TableDefinition<u32, &str> = TableDefinition::new("id_ranges");

/// The database of one node. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    #[cfg(any(test, feature = "fakes"))]
    fuse: Arc<crate::fakes::Fuse>,
}

impl Store {
    /// Opens or makes the database; one of a newer form is refused untouched.
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        let database = Database::create(path).map_err(|source| open_failed(path, source))?;
        let store = Self {
            database: Arc::new(database),
            #[cfg(any(test, feature = "fakes"))]
            fuse: Arc::default(),
        };
        store.check_format()?;
        Ok(store)
    }

    /// The switch that makes writes fail, for tests.
    #[cfg(any(test, feature = "fakes"))]
    pub fn fuse(&self) -> &crate::fakes::Fuse {
        &self.fuse
    }

    fn check_format(&self) -> Result<(), NodeError> {
        self.write("prepare the database", |transaction| {
            let mut meta = transaction.open_table(META)?;
            transaction.open_table(INSTANCES)?;
            transaction.open_table(WORKSPACES)?;
            transaction.open_table(RANGES)?;
            let format = meta.get("format")?.map(|value| value.value().to_owned());
            match format.as_deref() {
                Some(FORMAT) => Ok(()),
                Some(other) => Err(NewerFormat(other.to_owned()).into()),
                None => meta.insert("format", FORMAT).map(drop).map_err(Into::into),
            }
        })
        .map_err(|error| match error {
            NodeError::Inside { source, .. } if source.is::<NewerFormat>() => NodeError::refused(
                Class::FailedPrecondition,
                "DataIsNewer",
                source.to_string(),
                "start the version of Crannog that wrote this directory, or name another one with --data",
            ),
            other => other,
        })
    }

    /// The name of this node: kept from the first start on.
    pub fn node_id(&self, configured: &str) -> Result<String, NodeError> {
        match configured {
            "" => Ok(format!("node-{}", self.scope()?)),
            configured => Ok(configured.to_owned()),
        }
    }

    /// Eight hex digits that no other data directory of this machine has: what the node makes beside its directory
    /// (control groups) is made under it, so that two servers on a machine never meet.
    pub fn scope(&self) -> Result<String, NodeError> {
        self.write("keep the node's scope", |transaction| {
            let mut meta = transaction.open_table(META)?;
            if let Some(kept) = meta.get("scope")? {
                return Ok(kept.value().to_owned());
            }
            let made = hex::encode(rand::random::<[u8; 4]>());
            meta.insert("scope", made.as_str())?;
            Ok(made)
        })
    }

    /// Every instance that is known.
    pub fn instances(&self) -> Result<Vec<InstanceRecord>, NodeError> {
        self.read("read the instances", |transaction| {
            let table = transaction.open_table(INSTANCES)?;
            table.iter()?.map(|row| InstanceRecord::decode(row?.1.value())).collect()
        })
    }

    /// Writes an instance.
    pub fn put_instance(&self, record: &InstanceRecord) -> Result<(), NodeError> {
        let bytes = record.encode();
        self.write(&format!("store instance {}", record.spec.id), |transaction| {
            transaction.open_table(INSTANCES)?.insert(record.spec.id.as_str(), bytes.as_slice())?;
            Ok(())
        })
    }

    /// Drops an instance.
    pub fn delete_instance(&self, id: &str) -> Result<(), NodeError> {
        self.write(&format!("drop instance {id}"), |transaction| {
            transaction.open_table(INSTANCES)?.remove(id)?;
            Ok(())
        })
    }

    /// What is known of a workspace.
    pub fn workspace(&self, id: &str) -> Result<WorkspaceRecord, NodeError> {
        self.read(&format!("read workspace {id}"), |transaction| {
            let table = transaction.open_table(WORKSPACES)?;
            let row = table.get(id)?;
            row.map_or_else(|| Ok(WorkspaceRecord::default()), |row| Ok(serde_json::from_slice(row.value())?))
        })
    }

    /// Changes what is known of a workspace.
    pub fn update_workspace(&self, id: &str, change: impl FnOnce(&mut WorkspaceRecord)) -> Result<(), NodeError> {
        self.write(&format!("store workspace {id}"), |transaction| {
            let mut table = transaction.open_table(WORKSPACES)?;
            let mut record = match table.get(id)? {
                Some(row) => serde_json::from_slice(row.value())?,
                None => WorkspaceRecord::default(),
            };
            change(&mut record);
            table.insert(id, serde_json::to_vec(&record)?.as_slice())?;
            Ok(())
        })
    }

    /// What the writable layer of a workspace was made over: what is known already, else `lower` from now on.
    pub fn made_over(&self, id: &str, lower: Lower) -> Result<Lower, NodeError> {
        if let Some(known) = self.workspace(id)?.lower {
            return Ok(known);
        }
        let mut made = lower.clone();
        self.update_workspace(id, |record| made = record.lower.get_or_insert(lower).clone())?;
        Ok(made)
    }

    /// The images under every workspace that is kept.
    pub fn lowers(&self) -> Result<Vec<Lower>, NodeError> {
        self.read("read the workspaces", |transaction| {
            let table = transaction.open_table(WORKSPACES)?;
            let records = table.iter()?.map(|row| Ok(serde_json::from_slice::<WorkspaceRecord>(row?.1.value())?));
            records.filter_map(|record| record.map(|record| record.lower).transpose()).collect()
        })
    }

    /// Forgets a workspace.
    pub fn delete_workspace(&self, id: &str) -> Result<(), NodeError> {
        self.write(&format!("forget workspace {id}"), |transaction| {
            transaction.open_table(WORKSPACES)?.remove(id)?;
            Ok(())
        })
    }

    /// Runs `change` on the table of id ranges in one transaction; used by [`crate::ledger`].
    pub(crate) fn ranges<T>(
        &self,
        doing: &str,
        change: impl FnOnce(&mut redb::Table<'_, u32, &'static str>) -> anyhow::Result<T>,
    ) -> Result<T, NodeError> {
        self.write(doing, |transaction| change(&mut transaction.open_table(RANGES)?))
    }

    /// Everybody who has an id range.
    pub(crate) fn owners_of_ranges(&self) -> Result<Vec<String>, NodeError> {
        self.read("read the id ranges", |transaction| {
            let table = transaction.open_table(RANGES)?;
            table.iter()?.map(|row| Ok(row?.1.value().to_owned())).collect()
        })
    }

    fn read<T>(&self, doing: &str, query: impl FnOnce(&redb::ReadTransaction) -> anyhow::Result<T>) -> Result<T, NodeError> {
        let run = || query(&self.database.begin_read()?);
        run().map_err(|source| NodeError::Inside { doing: doing.into(), source })
    }

    fn write<T>(&self, doing: &str, change: impl FnOnce(&redb::WriteTransaction) -> anyhow::Result<T>) -> Result<T, NodeError> {
        let run = || {
            #[cfg(any(test, feature = "fakes"))]
            self.fuse.spend()?;
            let transaction = self.database.begin_write()?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|source: anyhow::Error| NodeError::Inside { doing: doing.into(), source })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the node's database has form {0}; this version knows form {FORMAT}")]
struct NewerFormat(String);

fn open_failed(path: &Path, source: redb::DatabaseError) -> NodeError {
    match source {
        redb::DatabaseError::DatabaseAlreadyOpen => NodeError::refused(
            Class::FailedPrecondition,
            "DataInUse",
            format!("another daemon uses {}", path.display()),
            "stop it first, or name another directory with --data",
        ),
        other => NodeError::Inside { doing: format!("open the database {}", path.display()), source: other.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_newer_form_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("state.redb");
        let store = Store::open(&path).expect("new");
        store.write("age", |transaction| Ok(transaction.open_table(META)?.insert("format", "2").map(drop)?)).expect("written");
        drop(store);
        let error = Store::open(&path).err().expect("newer");
        assert!(matches!(error, NodeError::Refused { reason: "DataIsNewer", .. }), "{error:?}");
    }

    #[test]
    fn a_second_daemon_on_the_same_directory_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("state.redb");
        let _first = Store::open(&path).expect("first");
        let error = Store::open(&path).err().expect("second");
        assert!(matches!(error, NodeError::Refused { reason: "DataInUse", .. }), "{error:?}");
    }

    #[test]
    fn a_node_keeps_the_name_it_made_up() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("state.redb");
        let first = Store::open(&path).expect("open").node_id("").expect("made");
        assert_eq!(Store::open(&path).expect("open").node_id("").expect("kept"), first);
    }
}
