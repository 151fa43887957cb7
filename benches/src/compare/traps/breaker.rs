//! A circuit breaker, seen alike whoever made it.

use std::{any::Any, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The dependency does not work.
    Down,
    /// The caller's own mistake, as 404: says nothing about the dependency.
    NotFound,
    /// The dependency works and asks for less, as 429.
    Throttled,
    /// A strategy refused the call before it was made.
    Refused,
    /// It took too long.
    TimedOut,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Fault {}

/// What is called through a breaker.
pub(super) type Call = BoxFuture<'static, Result<(), Fault>>;

/// What a breaker makes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Answered,
    Failed(Fault),
    /// Not called; when to come back, if the breaker says.
    Rejected(Option<Duration>),
}

impl Reply {
    pub(super) fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

/// Called at every opening and closing.
pub(super) type Listener = Arc<dyn Fn(Change) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Other,
}

/// When a breaker is to open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trip {
    /// After so many failures, one after the other.
    InARow(u32),
    /// When half of the calls failed, and there were at least `minimum` of them.
    Half { minimum: u32, window: Duration },
}

/// What a trap needs of a breaker. [`Fault::NotFound`] and [`Fault::Throttled`] are not to count as failures.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) trip: Trip,
    pub(super) reset: Duration,
    /// Share of the reset timeout that is cut at random.
    pub(super) jitter: f64,
    /// After this a probe gives its slot up.
    pub(super) lease: Duration,
    /// How long traffic is let in by steps after recovery.
    pub(super) ramp: Duration,
    pub(super) listener: Option<Listener>,
}

/// So long that what a trap has just opened stays open on a busy machine.
pub(super) const RESET: Duration = Duration::from_millis(400);

impl Wish {
    pub(super) fn in_a_row(failures: u32) -> Self {
        Self::new(Trip::InARow(failures))
    }

    pub(super) fn half(minimum: u32, window: Duration) -> Self {
        Self::new(Trip::Half { minimum, window })
    }

    fn new(trip: Trip) -> Self {
        let lease = Duration::from_secs(30);
        Self { trip, reset: RESET, jitter: 0.0, lease, ramp: Duration::ZERO, listener: None }
    }
}

/// A breaker.
pub(super) trait Breaker: Any + Send + Sync {
    /// Makes a call through it.
    fn call(&self, call: Call) -> BoxFuture<'static, Reply>;

    /// Makes a call through it and, inside that, through `inner`, whose rejections it is to know as such.
    fn nested(&self, inner: &dyn Breaker) -> BoxFuture<'static, Reply> {
        let inner = inner.call(Box::pin(async { Ok(()) }));
        self.call(Box::pin(async move {
            match inner.await {
                Reply::Answered => Ok(()),
                Reply::Failed(fault) => Err(fault),
                Reply::Rejected(_) => Err(Fault::Refused),
            }
        }))
    }

    /// Asks it something, as a listener may.
    fn ask(&self);

    /// Closes it by hand; `None` if it cannot be.
    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// A call that fails.
pub(super) fn fail() -> Call {
    Box::pin(async { Err(Fault::Down) })
}

/// A call that succeeds.
pub(super) fn succeed() -> Call {
    Box::pin(async { Ok(()) })
}
