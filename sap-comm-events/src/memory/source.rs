use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{MemorySettlement, Shared, state::State};
use crate::backend::{Delivery, Redelivered, Source};

/// One consumer's view of its queues. Takes a message only when a handler is free, so nothing is held ahead.
pub(super) struct MemorySource {
    shared: Arc<Shared>,
    queues: Vec<Arc<str>>,
    bell: Arc<Notify>,
    /// The queue to look at first, so that none starves.
    turn: usize,
}

impl MemorySource {
    pub(super) fn new(shared: Arc<Shared>, state: &mut State, queues: &[Arc<str>]) -> Self {
        let bell = Arc::default();
        for queue in queues {
            state.listen(queue, &bell);
        }
        Self { shared, queues: queues.to_vec(), bell, turn: 0 }
    }

    fn take(&mut self) -> Option<Delivery> {
        let mut state = self.shared.state.lock();
        for offset in 0..self.queues.len() {
            let index = (self.turn + offset) % self.queues.len();
            if let Some(stored) = state.take(&self.queues[index], Some(&self.bell)) {
                self.turn = index + 1;
                let (queue, message) = (Arc::clone(&self.queues[index]), Arc::clone(&stored.message));
                let settlement = Box::new(MemorySettlement::new(&self.shared, Arc::clone(&queue), stored));
                return Some(Delivery { message, queue, redelivered: Redelivered::No, settlement });
            }
        }
        None
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.take() {
                return Some(delivery);
            }
            if self.shared.closed.load(Ordering::Acquire) {
                return None;
            }
            self.bell.notified().await;
        }
    }

    async fn stop(&mut self) {
        // Nothing is held ahead.
    }

    async fn flush(self: Box<Self>, left: Vec<Delivery>) {
        // Settlements take effect at once; what is left goes back before another consumer takes over.
        drop(left);
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        for queue in &self.queues {
            state.leave(queue, &self.bell);
        }
    }
}
