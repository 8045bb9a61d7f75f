//! What the orchestrator last said about sessions: a small cache, bounded in size and in time. A good word is believed
//! for half a minute, a bad one for seconds; while the orchestrator is away a session that was good stays good for some
//! minutes (nobody can revoke it then), and one that was never seen is not let in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config;
use crate::error::AuthorityError;
use crate::ports::{SharedAuthority, TokenHash};

type Key = ([u8; 32], String);

#[derive(Debug, Clone, Copy)]
struct Word {
    good: bool,
    said: Instant,
}

/// One session as known; `asking` keeps a page with a hundred requests from asking a hundred times.
#[derive(Default)]
struct Slot {
    word: Mutex<Option<Word>>,
    asking: tokio::sync::Mutex<()>,
}

/// Asks who may be let in, and remembers.
pub struct Sessions {
    authority: SharedAuthority,
    settings: config::Sessions,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

impl Sessions {
    /// An empty cache before `authority`.
    pub fn new(authority: SharedAuthority, settings: config::Sessions) -> Self {
        Self { authority, settings, slots: Mutex::default() }
    }

    /// Whether the session of a token is good for a workspace. Looked up by hash: how long it takes says nothing about
    /// the token.
    pub async fn is_good(&self, workspace_id: &str, token: TokenHash) -> Result<bool, AuthorityError> {
        let slot = self.slot(workspace_id, token);
        if let Some(good) = self.fresh(&slot) {
            return Ok(good);
        }
        let _asking = slot.asking.lock().await;
        if let Some(good) = self.fresh(&slot) {
            return Ok(good);
        }
        match self.authority.check(workspace_id, token).await {
            Ok(good) => {
                *slot.word.lock() = Some(Word { good, said: Instant::now() });
                Ok(good)
            }
            Err(error) => self.while_away(&slot, error),
        }
    }

    fn fresh(&self, slot: &Slot) -> Option<bool> {
        let word = (*slot.word.lock())?;
        let believed = if word.good { self.settings.good_for } else { self.settings.bad_for };
        (word.said.elapsed() < believed.0).then_some(word.good)
    }

    fn while_away(&self, slot: &Slot, error: AuthorityError) -> Result<bool, AuthorityError> {
        match *slot.word.lock() {
            Some(word) if word.good && word.said.elapsed() < self.settings.good_while_away.0 => Ok(true),
            _ => Err(error),
        }
    }

    fn slot(&self, workspace_id: &str, token: TokenHash) -> Arc<Slot> {
        let key = (*token.as_bytes(), workspace_id.to_owned());
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        if slots.len() >= self.settings.kept {
            make_room(&mut slots, self.settings.kept);
        }
        slots.entry(key).or_default().clone()
    }
}

/// Guesses go first: good sessions are never pushed out by a flood of bad tokens.
fn make_room(slots: &mut HashMap<Key, Arc<Slot>>, kept: usize) {
    slots.retain(|_, slot| slot.word.lock().is_some_and(|word| word.good));
    while slots.len() >= kept.max(1) {
        let oldest = slots.iter().min_by_key(|(_, slot)| slot.word.lock().map(|word| word.said)).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return };
        slots.remove(&oldest);
    }
}

#[cfg(test)]
mod tests;
