//! The forms of what is stored. An instance is a small JSON head (what only the node needs) and its spec and status as
//! protobuf, length first, so that every future field of the API is kept through.

use api::v1::{Conclusion, InstanceSpec, InstanceStatus};
use domain::phase::Phase;
use prost::Message;
use serde::{Deserialize, Serialize};

/// An instance as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRecord {
    /// Where it is in its life.
    pub phase: Phase,
    /// What was asked for.
    pub spec: InstanceSpec,
    /// What was last said of it.
    pub status: InstanceStatus,
    /// Sequence numbers below this may have been used; after a restart numbers go on from here.
    pub sequence_ceiling: u64,
    /// When the start began (Unix ms): deadlines count from here across restarts.
    pub started_unix_ms: i64,
    /// Who asked for the end, once someone did.
    pub stop: Option<StopRequest>,
    /// The instance is to go as soon as it has stopped; `true`: its workspace too.
    pub remove: Option<bool>,
}

/// Why and how an instance is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// For people.
    pub reason: String,
    /// From the request to SIGKILL.
    pub grace_ms: u64,
    /// The conclusion that the asker wants said; 0: as the phase table says.
    pub conclusion: i32,
}

/// What is known of a workspace on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// Its content was brought in: a start needs no clone.
    pub content_ready: bool,
    /// Its `init` tasks have run.
    pub init_done: bool,
    /// What its writable layer was made over; written before anything is written to the layer.
    #[serde(default)]
    pub lower: Option<Lower>,
}

/// The image under a writable layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lower {
    /// What was asked for at the first start: "host" or a reference.
    pub image: String,
    /// Its manifest digest; empty for "host".
    pub digest: String,
}

impl Lower {
    /// The reference that means this image and no other: "debian:12@sha256:…"; "host" means itself.
    pub fn reference(&self) -> String {
        let name = self.image.split('@').next().unwrap_or_default();
        if self.digest.is_empty() { self.image.clone() } else { format!("{name}@{}", self.digest) }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    phase: Phase,
    sequence_ceiling: u64,
    started_unix_ms: i64,
    stop: Option<StopRequest>,
    remove: Option<bool>,
}

impl InstanceRecord {
    /// A new instance: accepted, nothing done.
    pub fn new(spec: InstanceSpec, now_unix_ms: i64) -> Self {
        let status = InstanceStatus {
            id: spec.id.clone(),
            workspace_id: spec.workspace_id.clone(),
            observed_generation: spec.generation,
            conclusion: Conclusion::Unspecified.into(),
            ..InstanceStatus::default()
        };
        Self { phase: Phase::Pending, spec, status, sequence_ceiling: 0, started_unix_ms: now_unix_ms, stop: None, remove: None }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let head = Head {
            phase: self.phase,
            sequence_ceiling: self.sequence_ceiling,
            started_unix_ms: self.started_unix_ms,
            stop: self.stop.clone(),
            remove: self.remove,
        };
        let mut bytes = Vec::new();
        let head = serde_json::to_vec(&head).unwrap_or_default();
        for part in [head, self.spec.encode_to_vec(), self.status.encode_to_vec()] {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&part);
        }
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> anyhow::Result<Self> {
        let head: Head = serde_json::from_slice(take_part(&mut bytes)?)?;
        let spec = InstanceSpec::decode(take_part(&mut bytes)?)?;
        let status = InstanceStatus::decode(take_part(&mut bytes)?)?;
        Ok(Self {
            phase: head.phase,
            spec,
            status,
            sequence_ceiling: head.sequence_ceiling,
            started_unix_ms: head.started_unix_ms,
            stop: head.stop,
            remove: head.remove,
        })
    }
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let cut = || anyhow::anyhow!("a stored instance is cut short");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut)?;
    *bytes = rest;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back_whole_and_what_is_cut_is_an_error() {
        let spec = InstanceSpec { id: "ab".into(), workspace_name: "app".into(), ..InstanceSpec::default() };
        let record = InstanceRecord { remove: Some(true), ..InstanceRecord::new(spec, 7) };
        let bytes = record.encode();
        assert_eq!(InstanceRecord::decode(&bytes).expect("whole"), record);
        for length in 0..bytes.len() {
            InstanceRecord::decode(&bytes[..length]).expect_err("cut");
        }
    }
}
