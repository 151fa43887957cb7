use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many messages a work queue, its retries and its dead letters hold; those queues share it.
///
/// A settlement moves a message between them, so it is never refused for want of room: a full queue would wait for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<Counts>);

/// Publishers count one, consumers the other: a number that both write would travel between their cores with each message.
#[derive(Debug, Default)]
struct Counts {
    added: Alone,
    removed: Alone,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicUsize);

impl Load {
    pub(super) fn get(&self) -> usize {
        // What is removed was added before.
        let removed = self.0.removed.0.load(Ordering::SeqCst);
        self.0.added.0.load(Ordering::SeqCst).wrapping_sub(removed)
    }

    pub(super) fn add(&self) {
        self.0.added.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Every message that leaves has come.
    pub(super) fn remove(&self) {
        self.0.removed.0.fetch_add(1, Ordering::SeqCst);
    }
}
