use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use tokio::sync::OwnedSemaphorePermit;

/// A connection's place under the limit. It travels in the request's extensions, which the connection keeps until its end.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Place>);

#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    attempts: AtomicU32,
}

impl Admission {
    /// Handshakes that one connection may fail; a client that renews its token fails once.
    const MAX_ATTEMPTS: u32 = 5;

    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Place { _permit: permit, attempts: AtomicU32::new(0) }))
    }

    /// Whether the connection may try one more handshake.
    pub(crate) fn attempt(&self) -> bool {
        self.0.attempts.fetch_add(1, Relaxed) < Self::MAX_ATTEMPTS
    }

    /// The handshake succeeded, so that earlier failures are forgiven.
    pub(crate) fn succeeded(&self) {
        self.0.attempts.store(0, Relaxed);
    }
}
