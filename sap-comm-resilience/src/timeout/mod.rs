//! Bounds the time of one attempt.

mod error;
mod future;
mod layer;
mod within;

use std::time::Duration;

pub use error::{Elapsed, TimeoutError};
pub use future::TimeoutFuture;
pub use layer::{TimeoutLayer, TimeoutService};
pub(crate) use within::Within;

use crate::timer::Limit;

/// A bound on the time of one attempt; see [`Deadline`](crate::Deadline) for the whole call.
#[doc = include_str!("../docs/timeout.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    after: Duration,
}

impl Timeout {
    /// Gives an attempt so much time. Zero gives it one poll.
    #[must_use]
    pub const fn new(after: Duration) -> Self {
        Self { after }
    }

    /// The time that an attempt has.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.after
    }

    /// Makes the call, and drops it when its time is over.
    ///
    /// # Errors
    /// [`TimeoutError::Elapsed`], or the call's own error.
    pub async fn call<T, E, F>(self, op: F) -> Result<T, TimeoutError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        match Within::new(Limit::After(self.after), op()).await {
            Some(result) => result.map_err(TimeoutError::inner),
            None => Err(TimeoutError::elapsed(self.after)),
        }
    }

    /// A tower layer that gives every request so much time, the wait for readiness included.
    #[must_use]
    pub const fn layer(&self) -> TimeoutLayer {
        TimeoutLayer::new(*self)
    }
}

impl From<Duration> for Timeout {
    fn from(after: Duration) -> Self {
        Self::new(after)
    }
}
