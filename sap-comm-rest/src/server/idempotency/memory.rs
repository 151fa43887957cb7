use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use sap_comm_core::{BoxError, config::ConfigError, id};
use tokio::time::Instant;

use super::{Claim, IdempotencyStore, KeptAnswer};
use crate::options::check;

/// Keeps idempotency keys in this process; a service with several instances needs a shared store.
#[derive(Debug)]
pub struct MemoryIdempotencyStore {
    entries: Mutex<HashMap<String, Entry>>,
    max_keys: usize,
}

#[derive(Debug)]
struct Entry {
    fingerprint: String,
    state: State,
    ends: Instant,
}

#[derive(Debug)]
enum State {
    Claimed(String),
    Done(KeptAnswer),
}

impl MemoryIdempotencyStore {
    /// A store of at most so many keys. A full one refuses further requests with a key, since an answer that it forgot
    /// early might be given twice.
    ///
    /// # Errors
    /// When `max_keys` is 0.
    pub fn new(max_keys: usize) -> Result<Self, ConfigError> {
        check(max_keys > 0, "max_keys", max_keys, "must be at least 1")?;
        Ok(Self { entries: Mutex::default(), max_keys })
    }

    /// How many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl IdempotencyStore for MemoryIdempotencyStore {
    async fn claim(&self, key: &str, fingerprint: &str, lease: Duration) -> Result<Claim, BoxError> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(key).filter(|entry| entry.ends > now) {
            return Ok(match &entry.state {
                _ if entry.fingerprint != fingerprint => Claim::Reused,
                State::Claimed(_) => Claim::InProgress(entry.ends.duration_since(now)),
                State::Done(answer) => Claim::Done(answer.clone()),
            });
        }
        if entries.len() >= self.max_keys {
            entries.retain(|_, entry| entry.ends > now);
        }
        if entries.len() >= self.max_keys && !entries.contains_key(key) {
            return Err(format!("{} idempotency keys are kept, which is the most", self.max_keys).into());
        }
        let claim = id::prefixed("clm");
        let state = State::Claimed(claim.clone());
        entries.insert(key.to_owned(), Entry { fingerprint: fingerprint.to_owned(), state, ends: now + lease });
        Ok(Claim::Taken(claim))
    }

    async fn keep(&self, key: &str, claim: &str, answer: &KeptAnswer, keep: Duration) -> Result<(), BoxError> {
        if let Some(entry) = self.entries.lock().get_mut(key).filter(|entry| entry.is_held_by(claim)) {
            entry.state = State::Done(answer.clone());
            entry.ends = Instant::now() + keep;
        }
        Ok(())
    }

    async fn release(&self, key: &str, claim: &str) -> Result<(), BoxError> {
        let mut entries = self.entries.lock();
        if entries.get(key).is_some_and(|entry| entry.is_held_by(claim)) {
            entries.remove(key);
        }
        Ok(())
    }
}

impl Entry {
    fn is_held_by(&self, claim: &str) -> bool {
        matches!(&self.state, State::Claimed(own) if own == claim)
    }
}
