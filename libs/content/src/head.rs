//! A head: the name that stands for the latest snapshot, and the only thing in a store that changes.
//! `docs/formats/head.md`.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::FormatError;
use crate::snapshot::check_version;

const VERSION: u32 = 1;

/// The fields stand in the order of their names, which makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// From 1, one more with each move.
    pub generation: u64,
    /// Its own name.
    pub name: String,
    /// The snapshot before.
    pub previous: Option<Digest>,
    /// The snapshot it stands for.
    pub snapshot: Digest,
    sum: String,
    version: u32,
}

impl Head {
    /// The head that follows `old`, or the first one.
    pub fn following(name: &str, old: Option<&Self>, snapshot: Digest) -> Self {
        let generation = old.map_or(0, |old| old.generation) + 1;
        let previous = old.map(|old| old.snapshot);
        let mut head = Self { generation, name: name.to_owned(), previous, snapshot, sum: String::new(), version: VERSION };
        head.sum = head.computed_sum();
        head
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in it can fail to become JSON: no maps, no floats.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes of the head `name`.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let refuse = |why| FormatError::Malformed { object: "head", why };
        check_version("head", bytes, VERSION)?;
        let head: Self = serde_json::from_slice(bytes).map_err(|_| refuse("it is not JSON of this form"))?;
        if head.sum != head.computed_sum() {
            return Err(refuse("its sum is wrong"));
        }
        if head.name != name || head.encode() != bytes {
            return Err(refuse("it is not in its canonical form, or of another name"));
        }
        Ok(head)
    }

    fn computed_sum(&self) -> String {
        Digest::of(&Self { sum: String::new(), ..self.clone() }.encode()).to_string()
    }
}

/// Whether this can be the name of a head.
pub fn good_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(good)
}
