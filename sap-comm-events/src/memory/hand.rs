use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{Shared, load::Load, state::Stored};
use crate::{
    DeadLetterError,
    backend::{Hand, Held},
};

/// The messages in hand, by number; they go back when it is dropped.
pub(super) struct MemoryHand {
    shared: Arc<Shared>,
    queue: String,
    load: Load,
    held: BTreeMap<u64, Stored>,
}

impl MemoryHand {
    pub(super) fn new(shared: &Arc<Shared>, queue: &str) -> Self {
        let load = shared.state.lock().load(queue);
        Self { shared: Arc::clone(shared), queue: queue.to_owned(), load, held: BTreeMap::new() }
    }
}

#[async_trait]
impl Hand for MemoryHand {
    async fn next(&mut self) -> Result<Option<Held>, DeadLetterError> {
        let mut state = self.shared.state.lock();
        if !state.has(&self.queue) {
            return Err(DeadLetterError::NoQueue { queue: self.queue.clone() });
        }
        let Some(stored) = state.take(&self.queue) else { return Ok(None) };
        let left = state.depth(&self.queue).unwrap_or(0);
        let (number, message) = (stored.number, Arc::clone(&stored.message));
        self.held.insert(number, stored);
        Ok(Some(Held { number, message, left }))
    }

    async fn remove(&mut self, number: u64) -> Result<(), DeadLetterError> {
        if self.held.remove(&number).is_some() {
            self.load.remove();
            self.shared.room.ring();
        }
        Ok(())
    }

    async fn end(self: Box<Self>) {}
}

impl Drop for MemoryHand {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        // The last first, so that each goes to the front.
        while let Some((_, stored)) = self.held.pop_last() {
            state.give_back(&self.queue, stored);
        }
    }
}
