use std::{
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;

use super::{Shared, gate::Gate, load::Load, state::Stored};
use crate::backend::Settlement;

/// What the settlements of one queue have in common.
pub(super) struct Desk {
    pub(super) queue: Arc<str>,
    load: Load,
    room: Arc<Gate>,
    shared: Weak<Shared>,
}

impl Desk {
    pub(super) fn new(shared: &Arc<Shared>, queue: Arc<str>, load: Load) -> Arc<Self> {
        Arc::new(Self { queue, load, room: Arc::clone(&shared.room), shared: Arc::downgrade(shared) })
    }

    /// Whether a message in hand was not taken back.
    pub(super) fn holds(&self, stored: &Stored) -> bool {
        stored.is_ours() || self.shared.upgrade().is_some_and(|shared| shared.state.lock().has_lent(stored))
    }

    /// A message in hand is dealt with, unless it was taken back meanwhile.
    fn forget(&self, stored: &Stored) {
        let ours = stored.is_ours() || self.shared.upgrade().is_some_and(|shared| shared.state.lock().release(stored));
        if ours {
            self.load.remove();
            self.room.ring();
        }
    }

    /// Gives messages that nobody has begun back to where they were.
    pub(super) fn give_back(&self, messages: impl DoubleEndedIterator<Item = Stored>) {
        if let Some(shared) = self.shared.upgrade() {
            let mut state = shared.state.lock();
            // The last first, so that each goes to the front.
            messages.rev().for_each(|stored| state.give_back(&self.queue, stored));
        }
    }
}

/// A message in hand; goes back to its queue when dropped.
pub(super) struct MemorySettlement {
    desk: Arc<Desk>,
    stored: Option<Stored>,
}

impl MemorySettlement {
    pub(super) fn new(desk: &Arc<Desk>, stored: Stored) -> Self {
        Self { desk: Arc::clone(desk), stored: Some(stored) }
    }
}

#[async_trait]
impl Settlement for MemorySettlement {
    fn is_void(&self) -> bool {
        self.stored.as_ref().is_none_or(|stored| !self.desk.holds(stored))
    }

    fn ack(mut self: Box<Self>) {
        if let Some(stored) = self.stored.take() {
            self.desk.forget(&stored);
        }
    }

    async fn ack_surely(self: Box<Self>) {
        self.ack();
    }
}

impl Drop for MemorySettlement {
    fn drop(&mut self) {
        if let Some(stored) = self.stored.take() {
            self.desk.give_back(std::iter::once(stored));
        }
    }
}

impl fmt::Debug for MemorySettlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySettlement").field("queue", &self.desk.queue).finish_non_exhaustive()
    }
}
