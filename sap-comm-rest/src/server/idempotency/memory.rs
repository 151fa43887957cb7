use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

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
    entries: HashMap<Arc<str>, Entry>,
    ends: Ends,
    /// Those of each caller's keys.
    by_caller: HashMap<Arc<str>, Ends>,
}

/// When keys are over, the next one first.
type Ends = BTreeSet<(Instant, Arc<str>)>;

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
    /// Where there is one caller only, or none has a principal, three quarters of the store stay empty: give it all by
    /// [`max_keys_per_caller`](Self::max_keys_per_caller).
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
        keys.forget_ended(now);
        if let Some(entry) = keys.entries.get(key) {
            return Ok(match &entry.state {
                _ if entry.fingerprint != fingerprint => Claim::Reused,
                State::Claimed(_) => Claim::InProgress(entry.ends.duration_since(now)),
                State::Done(answer) => Claim::Done(answer.clone()),
            });
        }
        if let Some(own) = keys.by_caller.get(caller).filter(|own| own.len() >= self.max_keys_per_caller) {
            let retry_after = own.first().map_or(lease, |(ends, _)| ends.duration_since(now));
            return Ok(Claim::TooMany { limit: self.max_keys_per_caller, retry_after });
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
        if let Some(entry) = keys.entries.get_mut(key).filter(|entry| entry.is_held_by(claim)) {
            entry.state = State::Done(answer.clone());
            keys.move_end(key, Instant::now() + keep);
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
    fn insert(&mut self, key: &str, fingerprint: &str, caller: &str, state: State, ends: Instant) {
        let key: Arc<str> = key.into();
        let caller = match self.by_caller.get_key_value(caller) {
            Some((known, _)) => Arc::clone(known),
            None => caller.into(),
        };
        let entry = Entry { caller: Arc::clone(&caller), fingerprint: fingerprint.to_owned(), state, ends };
        self.entries.insert(Arc::clone(&key), entry);
        self.by_caller.entry(caller).or_default().insert((ends, Arc::clone(&key)));
        self.ends.insert((ends, key));
    }

    fn remove(&mut self, key: &str) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        let end = (entry.ends, key);
        self.ends.remove(&end);
        if let Some(own) = self.by_caller.get_mut(&entry.caller) {
            own.remove(&end);
            if own.is_empty() {
                self.by_caller.remove(&entry.caller);
            }
        }
    }

    fn move_end(&mut self, key: &str, ends: Instant) {
        let Some((mut key, mut entry)) = self.entries.remove_entry(key) else { return };
        let before = std::mem::replace(&mut entry.ends, ends);
        for all in [Some(&mut self.ends), self.by_caller.get_mut(&entry.caller)].into_iter().flatten() {
            let end = (before, key);
            all.remove(&end);
            key = end.1;
            all.insert((ends, Arc::clone(&key)));
        }
        self.entries.insert(key, entry);
    }

    /// Each key is looked at once, when it is over, however often callers are refused meanwhile.
    fn forget_ended(&mut self, now: Instant) {
        while self.ends.first().is_some_and(|(ends, _)| *ends <= now) {
            let Some((_, key)) = self.ends.pop_first() else { return };
            self.remove(&key);
        }
    }
}

impl Entry {
    fn is_held_by(&self, claim: &str) -> bool {
        matches!(&self.state, State::Claimed(own) if own == claim)
    }
}
