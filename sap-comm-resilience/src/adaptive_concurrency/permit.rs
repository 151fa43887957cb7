use std::sync::Arc;

use super::slots::Slots;
use crate::classify::Outcome;

/// Leave to make one call, from [`AdaptiveConcurrency::acquire`](crate::AdaptiveConcurrency::acquire).
///
/// Tell it how the call ended. Dropped, the slot is free again and the call counts for nothing.
#[derive(Debug)]
#[must_use = "dropped at once, it bounds nothing"]
pub struct ConcurrencyPermit {
    slots: Arc<Slots>,
    began: u64,
    outcome: Option<Outcome>,
}

impl ConcurrencyPermit {
    /// The slot has been taken.
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        let began = slots.clock.now();
        Self { slots, began, outcome: None }
    }

    /// The call succeeded: its latency counts.
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The dependency asked for less, or did not answer in time: the limit falls, once for all calls that are in flight.
    pub fn overloaded(self) {
        self.settle(Outcome::Throttled(None));
    }

    /// The call ended like this. Throttled means overloaded; a failure counts only when it took long.
    pub fn settle(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        self.slots.give_back(self.began, self.outcome);
    }
}
