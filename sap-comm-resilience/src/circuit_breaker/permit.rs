use std::{
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Rejected, engine::Engine, pass::Pass};
use crate::classify::Outcome;

/// A pass and the engine to settle it with, exactly once.
#[derive(Debug)]
pub(crate) struct Held<H: Deref<Target = Engine>> {
    engine: H,
    pass: Pass,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// In the caller's hands: dropped by a panic, the call failed; dropped otherwise, it counts for nothing.
    ByHand,
    /// Waiting for a future's result: dropped now, it counts for nothing.
    Waiting,
    /// Inside the caller's code: dropped now, that code panicked.
    Running,
    Settled,
}

impl<H: Deref<Target = Engine>> Held<H> {
    /// For a future, which runs the caller's code by [`watch`](Self::watch).
    #[inline]
    pub(super) fn waiting(engine: H, pass: Pass) -> Self {
        Self { engine, pass, fate: Fate::Waiting }
    }

    #[inline]
    fn by_hand(engine: H, pass: Pass) -> Self {
        Self { engine, pass, fate: Fate::ByHand }
    }

    /// Held for a call that was not made yet: dropped before that, by a panic too, it counts for nothing.
    #[inline]
    pub(crate) fn unsent(mut self) -> Self {
        self.fate = Fate::Waiting;
        self
    }

    /// Runs the caller's code. If it panics, the call counts as a failure. Once settled, it only runs it.
    #[inline]
    pub(crate) fn watch<R>(&mut self, run: impl FnOnce() -> R) -> R {
        if self.fate == Fate::Settled {
            return run();
        }
        self.fate = Fate::Running;
        let result = run();
        self.fate = Fate::Waiting;
        result
    }

    /// The same for a poll, which becomes part of the caller's code: a closure would hand its result over in memory.
    #[inline(always)]
    pub(crate) fn watch_poll<F: Future>(&mut self, call: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.fate == Fate::Settled {
            return call.poll(cx);
        }
        self.fate = Fate::Running;
        let polled = call.poll(cx);
        self.fate = Fate::Waiting;
        polled
    }

    #[inline]
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        // A future may be polled after its end.
        if self.fate != Fate::Settled {
            self.fate = Fate::Settled;
            self.engine.settle(self.pass, outcome);
        }
    }

    #[cold]
    fn abandon(&self) {
        let panicked = match self.fate {
            Fate::ByHand => std::thread::panicking(),
            Fate::Running => true,
            Fate::Waiting | Fate::Settled => false,
        };
        self.engine.settle(self.pass, if panicked { Outcome::Failure } else { Outcome::Ignored });
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
/// Tell it how the call ended. Dropped, the call counts for nothing, and a probe's slot is free again; dropped by a
/// panic, the call counts as a failure.
#[derive(Debug)]
#[must_use = "dropped at once, the call counts for nothing"]
pub struct Permit<'a>(pub(crate) Held<Borrowed<'a>>);

/// An engine that can be shared once it has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Borrowed<'a>(&'a Arc<Engine>);

impl Deref for Borrowed<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.0
    }
}

/// A [`Permit`] that owns its breaker, for futures and tasks that must be `'static`.
#[derive(Debug)]
#[must_use = "dropped at once, the call counts for nothing"]
pub struct OwnedPermit(pub(crate) Held<Arc<Engine>>);

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn admit(engine: &'a Arc<Engine>) -> Result<Self, Rejected> {
        match engine.admit() {
            Ok(pass) => Ok(Self(Held::by_hand(Borrowed(engine), pass))),
            Err(after) => Err(engine.rejected(after)),
        }
    }

    /// The same leave, for a call that goes on in a future or a task that must be `'static`.
    pub fn into_owned(mut self) -> OwnedPermit {
        let Held { engine, pass, ref mut fate } = self.0;
        *fate = Fate::Settled;
        OwnedPermit(Held::by_hand(Arc::clone(engine.0), pass))
    }

    /// The call succeeded.
    #[inline]
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
    #[inline]
    pub(super) fn admit(engine: &Arc<Engine>) -> Result<Self, Rejected> {
        match engine.admit() {
            Ok(pass) => Ok(Self(Held::by_hand(Arc::clone(engine), pass))),
            Err(after) => Err(engine.rejected(after)),
        }
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
