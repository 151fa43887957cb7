use std::{ops::Deref, sync::Arc};

use tokio::sync::OwnedSemaphorePermit;

use super::Parts;
use crate::{OwnedPermit, Permit, Rejected, Slot, classify::Outcome};

/// How a call holds the parts of its pipeline: a plain call borrows them, and the future of a service owns them.
pub(super) trait Holder: Deref<Target = Parts> {
    type Permit: Settle;
    type Seat: From<OwnedSemaphorePermit>;

    /// What the breaker says, if there is one.
    fn admit(&self) -> Option<Result<Self::Permit, Rejected>>;

    /// A free slot of the bulkhead.
    fn seat(&self) -> Option<Self::Seat>;
}

/// A breaker's permit.
pub(super) trait Settle {
    /// Runs the caller's code. If it panics, the call counts as a failure.
    fn watch<R>(&mut self, run: impl FnOnce() -> R) -> R;

    fn settle(self, outcome: Outcome);
}

impl<'p> Holder for &'p Parts {
    type Permit = Permit<'p>;
    type Seat = Seat<'p>;

    fn admit(&self) -> Option<Result<Permit<'p>, Rejected>> {
        let parts: &'p Parts = self;
        parts.breaker.as_ref().map(|breaker| breaker.try_acquire().map(|permit| Permit(permit.0.unsent())))
    }

    fn seat(&self) -> Option<Seat<'p>> {
        let parts: &'p Parts = self;
        parts.bulkhead.as_ref()?.try_slot().map(Seat::Borrowed)
    }
}

impl Holder for Arc<Parts> {
    type Permit = OwnedPermit;
    type Seat = OwnedSemaphorePermit;

    fn admit(&self) -> Option<Result<OwnedPermit, Rejected>> {
        self.breaker.as_ref().map(|breaker| breaker.try_acquire_owned().map(|permit| OwnedPermit(permit.0.unsent())))
    }

    fn seat(&self) -> Option<OwnedSemaphorePermit> {
        self.bulkhead.as_ref()?.try_acquire_owned().ok()
    }
}

/// A slot of the bulkhead, held for its drop.
pub(super) enum Seat<'p> {
    Borrowed(#[expect(dead_code, reason = "held for its drop")] Slot<'p>),
    Owned(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

impl From<OwnedSemaphorePermit> for Seat<'_> {
    fn from(slot: OwnedSemaphorePermit) -> Self {
        Self::Owned(slot)
    }
}

impl Settle for Permit<'_> {
    fn watch<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.0.watch(run)
    }

    fn settle(mut self, outcome: Outcome) {
        self.0.settle(outcome);
    }
}

impl Settle for OwnedPermit {
    fn watch<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.0.watch(run)
    }

    fn settle(mut self, outcome: Outcome) {
        self.0.settle(outcome);
    }
}
