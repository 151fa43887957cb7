use std::sync::Arc;

use super::Inner;
use crate::classify::Outcome;

/// Leave to send one request, from [`AdaptiveThrottle::try_acquire`](crate::AdaptiveThrottle::try_acquire).
///
/// Tell it how the request ended. Dropped, it counts for nothing.
#[derive(Debug)]
#[must_use = "dropped at once, the request counts for nothing"]
pub struct ThrottlePermit {
    inner: Arc<Inner>,
}

impl ThrottlePermit {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The dependency took the request.
    pub fn accepted(self) {
        self.settle(Outcome::Success);
    }

    /// The dependency refused the request, or failed.
    pub fn refused(self) {
        self.settle(Outcome::Failure);
    }

    /// The request ended like this. A mistake of the caller's own was accepted too; what another strategy of ours
    /// rejected was never sent.
    pub fn settle(self, outcome: Outcome) {
        let accepted = match outcome {
            Outcome::Success | Outcome::Ignored => true,
            Outcome::Failure | Outcome::Throttled(_) => false,
            Outcome::Rejected => return,
        };
        self.inner.window.count(self.inner.clock.now(), accepted);
    }
}
