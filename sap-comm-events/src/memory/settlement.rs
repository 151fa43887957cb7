use std::{
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;

use super::{Shared, state::Stored};
use crate::backend::Settlement;

/// A message in hand; goes back to its queue when dropped.
pub(super) struct MemorySettlement {
    shared: Weak<Shared>,
    queue: Arc<str>,
    stored: Option<Stored>,
}

impl MemorySettlement {
    pub(super) fn new(shared: &Arc<Shared>, queue: Arc<str>, stored: Stored) -> Self {
        Self { shared: Arc::downgrade(shared), queue, stored: Some(stored) }
    }
}

#[async_trait]
impl Settlement for MemorySettlement {
    fn ack(mut self: Box<Self>) {
        self.stored = None;
        if let Some(shared) = self.shared.upgrade() {
            shared.state.lock().forget(&self.queue);
            shared.room.notify_waiters();
        }
    }

    async fn ack_surely(self: Box<Self>) {
        self.ack();
    }
}

impl Drop for MemorySettlement {
    fn drop(&mut self) {
        if let (Some(stored), Some(shared)) = (self.stored.take(), self.shared.upgrade()) {
            shared.state.lock().give_back(&self.queue, stored);
        }
    }
}

impl fmt::Debug for MemorySettlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySettlement").field("queue", &self.queue).finish_non_exhaustive()
    }
}
