use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use sap_comm_core::{BoxError, config::ConfigError, id};
use tokio::time::Instant;

use super::{Claim, IdempotencyStore, KeptAnswer};
use crate::options::check;

/// Keeps idempotency keys in this process; a service with several instances needs a shared store.
#[derive(Debug)]
pub struct MemoryIdempotencyStore {
    keys: Mutex<Keys>,
    max_keys: usize,
    max_keys_per_caller: usize,
}

#[derive(Debug, Default)]
struct Keys {
    entries: HashMap<String, Entry>,
    /// How many of them each caller has.
    by_caller: HashMap<Arc<str>, usize>,
    /// Before then none is over.
    next_end: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    caller: Arc<str>,
    fingerprint: String,
    state: State,
    ends: Instant,
}

#[derive(Debug)]
enum State {
    Claimed(String),
    Done(KeptAnswer),
}

/// One caller's share of the keys: four busy ones fill the store, and one alone does not.
const SHARE: usize = 4;

impl MemoryIdempotencyStore {
    /// A store of at most so many keys, a quarter of them, rounded up, of one caller; those without a principal count as
    /// one. A full one refuses further requests with a key, since an answer that it forgot early might be given twice.
    ///
    /// # Errors
    /// When `max_keys` is 0.
    pub fn new(max_keys: usize) -> Result<Self, ConfigError> {
        check(max_keys > 0, "max_keys", max_keys, "must be at least 1")?;
        Ok(Self { keys: Mutex::default(), max_keys, max_keys_per_caller: max_keys.div_ceil(SHARE) })
    }

    /// Keeps at most so many keys of one caller, which then gets 429.
    ///
    /// # Errors
    /// When `max_keys` is 0, or more than the store keeps.
    pub fn max_keys_per_caller(self, max_keys: usize) -> Result<Self, ConfigError> {
        let within = (1..=self.max_keys).contains(&max_keys);
        check(within, "max_keys_per_caller", max_keys, format_args!("must lie within 1..={}", self.max_keys))?;
        Ok(Self { max_keys_per_caller: max_keys, ..self })
    }

    /// How many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.lock().entries.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[async_trait]
impl IdempotencyStore for MemoryIdempotencyStore {
    async fn claim(&self, key: &str, fingerprint: &str, caller: &str, lease: Duration) -> Result<Claim, BoxError> {
        let now = Instant::now();
        let mut keys = self.keys.lock();
        if let Some(entry) = keys.entries.get(key) {
            if entry.ends > now {
                return Ok(match &entry.state {
                    _ if entry.fingerprint != fingerprint => Claim::Reused,
                    State::Claimed(_) => Claim::InProgress(entry.ends.duration_since(now)),
                    State::Done(answer) => Claim::Done(answer.clone()),
                });
            }
            keys.remove(key);
        }
        if keys.entries.len() >= self.max_keys || keys.of(caller) >= self.max_keys_per_caller {
            keys.forget_ended(now);
        }
        if keys.of(caller) >= self.max_keys_per_caller {
            return Ok(Claim::TooMany(self.max_keys_per_caller));
        }
        if keys.entries.len() >= self.max_keys {
            return Err(format!("{} idempotency keys are kept, which is the most", self.max_keys).into());
        }
        let claim = id::prefixed("clm");
        keys.insert(key, fingerprint, caller, State::Claimed(claim.clone()), now + lease);
        Ok(Claim::Taken(claim))
    }

    async fn keep(&self, key: &str, claim: &str, answer: &KeptAnswer, keep: Duration) -> Result<(), BoxError> {
        let mut keys = self.keys.lock();
        let ends = Instant::now() + keep;
        if let Some(entry) = keys.entries.get_mut(key).filter(|entry| entry.is_held_by(claim)) {
            (entry.state, entry.ends) = (State::Done(answer.clone()), ends);
            keys.ends_at(ends);
        }
        Ok(())
    }

    async fn release(&self, key: &str, claim: &str) -> Result<(), BoxError> {
        let mut keys = self.keys.lock();
        if keys.entries.get(key).is_some_and(|entry| entry.is_held_by(claim)) {
            keys.remove(key);
        }
        Ok(())
    }
}

impl Keys {
    fn of(&self, caller: &str) -> usize {
        self.by_caller.get(caller).copied().unwrap_or(0)
    }

    fn insert(&mut self, key: &str, fingerprint: &str, caller: &str, state: State, ends: Instant) {
        let caller = match self.by_caller.get_key_value(caller) {
            Some((known, _)) => Arc::clone(known),
            None => caller.into(),
        };
        *self.by_caller.entry(Arc::clone(&caller)).or_default() += 1;
        self.entries.insert(key.to_owned(), Entry { caller, fingerprint: fingerprint.to_owned(), state, ends });
        self.ends_at(ends);
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            forget_one(&mut self.by_caller, &entry.caller);
        }
    }

    fn ends_at(&mut self, ends: Instant) {
        self.next_end = Some(self.next_end.map_or(ends, |next| next.min(ends)));
    }

    /// Looks through all of them where one may be over: a caller that is refused over and over costs no look each time.
    fn forget_ended(&mut self, now: Instant) {
        if self.next_end.is_none_or(|next| next > now) {
            return;
        }
        let by_caller = &mut self.by_caller;
        self.entries.retain(|_, entry| {
            let stays = entry.ends > now;
            if !stays {
                forget_one(by_caller, &entry.caller);
            }
            stays
        });
        self.next_end = self.entries.values().map(|entry| entry.ends).min();
    }
}

fn forget_one(by_caller: &mut HashMap<Arc<str>, usize>, caller: &str) {
    if let Some(count) = by_caller.get_mut(caller) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            by_caller.remove(caller);
        }
    }
}

impl Entry {
    fn is_held_by(&self, claim: &str) -> bool {
        matches!(&self.state, State::Claimed(own) if own == claim)
    }
}
