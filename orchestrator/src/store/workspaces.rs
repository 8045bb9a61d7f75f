//! Workspaces with their latest instance, their port choices, and the requests that were answered.

use api::v1::{CreateWorkspaceRequest, InstanceSpec, InstanceStatus};
use domain::phase::Phase;
use prost::Message;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{NewEvent, Store, StoreError, failed};
use crate::workspaces::record::{Desired, Instance, Record, StopOrder};

/// How sure a write must be before what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk, whatever happens to the machine.
    Disk,
    /// Survives the process; a node says it again.
    Process,
}

/// A client's request, to be answered once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The client's id for it.
    pub id: String,
    /// Which verb.
    pub method: &'static str,
    /// Hash of its arguments.
    pub arguments: String,
}

/// An answered request: its method, the hash of its arguments, and the workspace.
pub type Answered = (String, String, String);

impl Store {
    /// Writes a workspace with its instance, the events of the change, and the request that asked for it: all or none.
    pub async fn save(
        &self,
        record: &Record,
        events: &[NewEvent],
        request: Option<&RequestKey>,
        now: i64,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let pool = if durability == Durability::Disk { &self.durable } else { &self.quick };
        let mut transaction = pool.begin().await.map_err(failed("begin a change"))?;
        save_workspace(&mut transaction, record).await?;
        save_instance(&mut transaction, record).await?;
        save_ports(&mut transaction, record).await?;
        for event in events {
            super::events::insert(&mut transaction, event).await?;
        }
        if let Some(request) = request {
            sqlx::query("INSERT INTO requests (request_id, method, arguments, workspace_id, created_ms) VALUES (?, ?, ?, ?, ?)")
                .bind(&request.id)
                .bind(request.method)
                .bind(&request.arguments)
                .bind(&record.id)
                .bind(now)
                .execute(&mut *transaction)
                .await
                .map_err(failed("note a request"))?;
        }
        transaction.commit().await.map_err(failed("commit a change"))
    }

    /// Looks up a request that was answered before.
    pub async fn answered(&self, request_id: &str) -> Result<Option<Answered>, StoreError> {
        let row = sqlx::query("SELECT method, arguments, workspace_id FROM requests WHERE request_id = ?")
            .bind(request_id)
            .fetch_optional(&self.durable)
            .await
            .map_err(failed("look up a request"))?;
        Ok(row.map(|row| (row.get(0), row.get(1), row.get(2))))
    }

    /// Every workspace there is or was, with its latest instance.
    pub async fn load(&self) -> Result<Vec<Record>, StoreError> {
        let rows = sqlx::query(SELECT_ALL).fetch_all(&self.durable).await.map_err(failed("read the workspaces"))?;
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let mut record = read(&row)?;
            let ports = sqlx::query("SELECT port, visibility FROM port_visibility WHERE workspace_id = ?").bind(&record.id);
            for port in ports.fetch_all(&self.durable).await.map_err(failed("read the ports"))? {
                record.visibility.insert(port.get::<i64, _>(0) as u32, port.get::<i64, _>(1) as i32);
            }
            records.push(record);
        }
        Ok(records)
    }
}

const SELECT_ALL: &str = "SELECT w.*, i.generation, i.created_ms AS i_created_ms, i.started_ms, i.stopped_ms, i.phase, i.desired, \
     i.stop_reason, i.stop_conclusion, i.conclusion, i.conclusion_reason, i.spec, i.status, i.own \
     FROM workspaces w JOIN instances i ON i.id = w.instance_id ORDER BY w.created_ms, w.id";

async fn save_workspace(connection: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO workspaces (id, name, owner, created_ms, deleted, forgotten, revision, node, commit_id, branch, \
         content_ready, init_done, last_activity_ms, warnings, request, instance_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET deleted = excluded.deleted, forgotten = excluded.forgotten, \
         revision = excluded.revision, node = excluded.node, commit_id = excluded.commit_id, branch = excluded.branch, \
         content_ready = excluded.content_ready, init_done = excluded.init_done, \
         last_activity_ms = excluded.last_activity_ms, warnings = excluded.warnings, instance_id = excluded.instance_id",
    )
    .bind(&record.id)
    .bind(&record.name)
    .bind(&record.owner)
    .bind(record.created)
    .bind(record.deleted)
    .bind(record.forgotten)
    .bind(record.revision as i64)
    .bind(&record.node)
    .bind(&record.commit)
    .bind(&record.branch)
    .bind(record.content_ready)
    .bind(record.init_done)
    .bind(record.last_activity)
    .bind(serde_json::to_string(&record.warnings).unwrap_or_default())
    .bind(record.request.encode_to_vec())
    .bind(&record.instance.id)
    .execute(connection)
    .await
    .map_err(failed("write a workspace"))?;
    Ok(())
}

async fn save_instance(connection: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    let instance = &record.instance;
    sqlx::query(
        "INSERT INTO instances (id, workspace_id, generation, created_ms, started_ms, stopped_ms, phase, desired, stop_reason, \
         stop_conclusion, conclusion, conclusion_reason, spec, status, own) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, started_ms = excluded.started_ms, \
         stopped_ms = excluded.stopped_ms, phase = excluded.phase, desired = excluded.desired, \
         stop_reason = excluded.stop_reason, stop_conclusion = excluded.stop_conclusion, conclusion = excluded.conclusion, \
         conclusion_reason = excluded.conclusion_reason, spec = excluded.spec, status = excluded.status, own = excluded.own",
    )
    .bind(&instance.id)
    .bind(&record.id)
    .bind(instance.generation() as i64)
    .bind(instance.created)
    .bind(instance.started)
    .bind(instance.stopped)
    .bind(instance.phase.as_str())
    .bind(instance.desired.as_str())
    .bind(instance.stop.as_ref().map(|stop| stop.reason.clone()).unwrap_or_default())
    .bind(instance.stop.as_ref().map_or(0, |stop| stop.conclusion))
    .bind(instance.conclusion)
    .bind(&instance.conclusion_reason)
    .bind(instance.spec.as_ref().map(Message::encode_to_vec))
    .bind(instance.status.encode_to_vec())
    .bind(instance.own.encode_to_vec())
    .execute(connection)
    .await
    .map_err(failed("write an instance"))?;
    Ok(())
}

async fn save_ports(connection: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    for (port, visibility) in &record.visibility {
        sqlx::query(
            "INSERT INTO port_visibility (workspace_id, port, visibility) VALUES (?, ?, ?) \
             ON CONFLICT (workspace_id, port) DO UPDATE SET visibility = excluded.visibility",
        )
        .bind(&record.id)
        .bind(i64::from(*port))
        .bind(i64::from(*visibility))
        .execute(&mut *connection)
        .await
        .map_err(failed("write a port"))?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Record, StoreError> {
    let id: String = row.get("id");
    let corrupt = |what| StoreError::Corrupt { what, id: id.clone() };
    let instance = Instance {
        id: row.get("instance_id"),
        created: row.get("i_created_ms"),
        started: row.get("started_ms"),
        stopped: row.get("stopped_ms"),
        phase: Phase::parse(row.get("phase")).ok_or_else(|| corrupt("the phase"))?,
        desired: Desired::parse(row.get("desired")).ok_or_else(|| corrupt("the desired state"))?,
        stop: stop_order(row),
        conclusion: row.get("conclusion"),
        conclusion_reason: row.get("conclusion_reason"),
        spec: row
            .get::<Option<Vec<u8>>, _>("spec")
            .map(|bytes| decode::<InstanceSpec>(&bytes))
            .transpose()
            .map_err(|_| corrupt("the spec"))?,
        status: decode::<InstanceStatus>(row.get("status")).map_err(|_| corrupt("the status"))?,
        own: decode::<InstanceStatus>(row.get("own")).map_err(|_| corrupt("the steps"))?,
    };
    Ok(Record {
        name: row.get("name"),
        owner: row.get("owner"),
        created: row.get("created_ms"),
        deleted: row.get("deleted"),
        forgotten: row.get("forgotten"),
        revision: row.get::<i64, _>("revision") as u64,
        node: row.get("node"),
        commit: row.get("commit_id"),
        branch: row.get("branch"),
        content_ready: row.get("content_ready"),
        init_done: row.get("init_done"),
        last_activity: row.get("last_activity_ms"),
        warnings: serde_json::from_str(row.get("warnings")).map_err(|_| corrupt("the warnings"))?,
        request: decode::<CreateWorkspaceRequest>(row.get("request")).map_err(|_| corrupt("the request"))?,
        visibility: Default::default(),
        instance,
        id,
    })
}

fn stop_order(row: &SqliteRow) -> Option<StopOrder> {
    let conclusion: i32 = row.get("stop_conclusion");
    (conclusion != 0).then(|| StopOrder { reason: row.get("stop_reason"), conclusion })
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, prost::DecodeError> {
    M::decode(bytes)
}
