use std::{ops::Deref, sync::Arc};

use super::{engine::Engine, probes::Lease};
use crate::classify::Outcome;

/// What an admitted call carries: which generation admitted it, since when, and its probe slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub(super) generation: u64,
    pub(super) started: u64,
    pub(super) lease: Option<Lease>,
}

impl Pass {
    #[inline]
    pub(super) fn call(generation: u64, started: u64) -> Self {
        Self { generation, started, lease: None }
    }

    pub(super) fn probe(generation: u64, started: u64, lease: Lease) -> Self {
        Self { generation, started, lease: Some(lease) }
    }
}

/// A pass and the engine to settle it with, exactly once.
#[derive(Debug)]
pub(crate) struct Held<H: Deref<Target = Engine>> {
    engine: H,
    pass: Pass,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Waiting for a result: dropped now, it counts for nothing.
    Waiting,
    /// Inside the caller's code: dropped now, that code panicked.
    Running,
    Settled,
}

impl<H: Deref<Target = Engine>> Held<H> {
    #[inline]
    pub(super) fn admit(engine: H) -> Result<Self, super::Rejected> {
        match engine.admit() {
            Ok(pass) => Ok(Self { engine, pass, fate: Fate::Waiting }),
            Err(after) => Err(engine.rejected(after)),
        }
    }

    /// Runs the caller's code. If it panics, the call counts as a failure.
    #[inline]
    pub(crate) fn watch<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.fate = Fate::Running;
        let result = run();
        self.fate = Fate::Waiting;
        result
    }

    #[inline]
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.fate = Fate::Settled;
        self.engine.settle(self.pass, outcome);
    }
}

impl<H: Deref<Target = Engine>> Held<H> {
    #[cold]
    fn abandon(&self) {
        let outcome = if self.fate == Fate::Running { Outcome::Failure } else { Outcome::Ignored };
        self.engine.settle(self.pass, outcome);
    }
}

impl<H: Deref<Target = Engine>> Drop for Held<H> {
    #[inline]
    fn drop(&mut self) {
        if self.fate != Fate::Settled {
            self.abandon();
        }
    }
}

/// Leave to make one call, from [`CircuitBreaker::try_acquire`](crate::CircuitBreaker::try_acquire).
///
/// Tell it how the call ended. Dropped, the call counts for nothing, and a probe's slot is free again.
#[derive(Debug)]
#[must_use = "dropped at once, the call counts for nothing"]
pub struct Permit<'a>(pub(crate) Held<&'a Engine>);

/// A [`Permit`] that owns its breaker, for futures and tasks that must be `'static`.
#[derive(Debug)]
#[must_use = "dropped at once, the call counts for nothing"]
pub struct OwnedPermit(pub(crate) Held<Arc<Engine>>);

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn admit(engine: &'a Engine) -> Result<Self, super::Rejected> {
        Held::admit(engine).map(Self)
    }

    /// The call succeeded.
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The call failed.
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// The call says nothing about the dependency.
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// The call ended like this.
    #[inline]
    pub fn settle(mut self, outcome: Outcome) {
        self.0.settle(outcome);
    }
}

impl OwnedPermit {
    pub(super) fn admit(engine: Arc<Engine>) -> Result<Self, super::Rejected> {
        Held::admit(engine).map(Self)
    }

    /// The call succeeded.
    pub fn success(self) {
        self.settle(Outcome::Success);
    }

    /// The call failed.
    pub fn failure(self) {
        self.settle(Outcome::Failure);
    }

    /// The call says nothing about the dependency.
    pub fn ignore(self) {
        self.settle(Outcome::Ignored);
    }

    /// The call ended like this.
    pub fn settle(mut self, outcome: Outcome) {
        self.0.settle(outcome);
    }
}
