use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{
    Shared,
    settlement::{Desk, MemorySettlement},
    state::{State, Stored},
};
use crate::backend::{Delivery, Redelivered, Source};

/// One consumer's view of its queues. Holds a few messages ahead, its fair share of what is there.
pub(super) struct MemorySource {
    shared: Arc<Shared>,
    desks: Vec<Arc<Desk>>,
    bell: Arc<Notify>,
    /// The queue to look at first, so that none starves.
    turn: usize,
    /// Messages of one queue, in its order.
    ahead: VecDeque<Stored>,
    of: usize,
    limit: usize,
}

/// More at a time would spare no work worth mentioning.
const MOST: usize = 64;
/// How often other tasks are let by before a source sleeps: in all about what it costs to wake it.
const RESTS: u32 = 4;

impl MemorySource {
    pub(super) fn new(shared: Arc<Shared>, state: &mut State, queues: &[Arc<str>], prefetch: u16) -> Self {
        let bell = Arc::default();
        let desks = queues.iter().map(|queue| {
            state.listen(queue, &bell);
            Desk::new(&shared, Arc::clone(queue), state.load(queue))
        });
        let desks = desks.collect();
        let limit = usize::from(prefetch).clamp(1, MOST);
        Self { shared, desks, bell, turn: 0, ahead: VecDeque::new(), of: 0, limit }
    }

    fn take(&mut self) -> Option<Delivery> {
        let stored = loop {
            if self.ahead.is_empty() {
                self.refill();
            }
            let stored = self.ahead.pop_front()?;
            // What was taken back comes again.
            if self.desks[self.of].holds(&stored) {
                break stored;
            }
        };
        let desk = &self.desks[self.of];
        let (queue, message) = (Arc::clone(&desk.queue), Arc::clone(&stored.message));
        let settlement = Box::new(MemorySettlement::new(desk, stored));
        #[cfg(feature = "test-util")]
        self.shared.may_lose_connection();
        Some(Delivery { message, queue, redelivered: Redelivered::No, settlement })
    }

    fn refill(&mut self) {
        let mut state = self.shared.state.lock();
        for offset in 0..self.desks.len() {
            let index = (self.turn + offset) % self.desks.len();
            if state.take_share(&self.desks[index].queue, &self.bell, self.limit, &mut self.ahead) {
                (self.of, self.turn) = (index, index + 1);
                return;
            }
        }
    }

    fn give_back(&mut self) {
        if let Some(desk) = self.desks.get(self.of) {
            desk.give_back(self.ahead.drain(..));
        }
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self) -> Option<Delivery> {
        let mut rests = 0;
        loop {
            if let Some(delivery) = self.take() {
                return Some(delivery);
            }
            if self.shared.closed.load(Ordering::Acquire) {
                return None;
            }
            // A publisher that is about to publish again spares both sides the cost of waking.
            if rests < RESTS {
                rests += 1;
                tokio::task::yield_now().await;
                continue;
            }
            self.bell.notified().await;
        }
    }

    fn ready(&mut self) -> Option<Delivery> {
        self.take()
    }

    async fn keep(&mut self) -> Infallible {
        // In memory nothing is lost meanwhile.
        std::future::pending().await
    }

    async fn stop(&mut self) {
        self.give_back();
    }

    async fn flush(self: Box<Self>, left: Vec<Delivery>) {
        // Settlements take effect at once; what is left goes back before another consumer takes over.
        drop(left);
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.give_back();
        let mut state = self.shared.state.lock();
        for desk in &self.desks {
            state.leave(&desk.queue, &self.bell);
        }
        drop(state);
        self.shared.room.ring();
    }
}
