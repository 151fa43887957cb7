use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{bulkhead::Place, clock::nanos};

/// The calls that wait: a bounded number, of which only the first sleeps until the rate lets it go.
#[derive(Debug)]
pub(super) struct Queue {
    max: u32,
    waiting: AtomicU32,
    /// Serves those who ask in order.
    head: Semaphore,
    /// When the first goes, on the limit's clock.
    goes_at: AtomicU64,
}

/// A place in the queue, given up when dropped.
pub(super) struct Waiting<'a> {
    head: &'a Semaphore,
    _place: Place<'a>,
}

impl Queue {
    pub(super) fn new(max: u32) -> Self {
        Self { max, waiting: AtomicU32::new(0), head: Semaphore::new(1), goes_at: AtomicU64::new(0) }
    }

    pub(super) fn len(&self) -> u32 {
        self.waiting.load(Ordering::Acquire)
    }

    /// `None` when it is full.
    pub(super) fn join(&self) -> Option<Waiting<'_>> {
        Some(Waiting { head: &self.head, _place: Place::take(&self.waiting, self.max)? })
    }

    pub(super) fn first_goes_at(&self, at: Duration) {
        self.goes_at.store(nanos(at), Ordering::Release);
    }

    /// Zero when it is not known.
    pub(super) fn first_goes_in(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.goes_at.load(Ordering::Acquire)).saturating_sub(now)
    }
}

impl<'a> Waiting<'a> {
    /// Waits until everybody ahead is gone. `None` never comes: nobody closes the queue.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'a>> {
        self.head.acquire().await.ok()
    }
}
