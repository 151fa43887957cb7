use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many messages a work queue, its retries and its dead letters hold; those queues share it.
///
/// A settlement moves a message between them, so it is never refused for want of room: a full queue would wait for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<AtomicUsize>);

impl Load {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Every message that leaves has come.
    pub(super) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
