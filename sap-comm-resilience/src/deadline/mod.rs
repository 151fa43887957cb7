//! Bounds the time of a whole call, retries and downstream services included.

mod error;
mod future;
mod layer;

use std::time::Duration;

pub use error::{DeadlineError, DeadlineExceeded};
pub use future::DeadlineFuture;
pub use layer::{DeadlineLayer, DeadlineService};
use sap_comm_core::Context;
use tokio::time::Instant;

use crate::{timeout::Within, timer::Limit};

/// A bound on the time of a whole call.
#[doc = include_str!("../docs/deadline.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    after: Duration,
}

impl Deadline {
    /// Gives each call so much time from its start.
    #[must_use]
    pub const fn after(after: Duration) -> Self {
        Self { after }
    }

    /// The time that a call has.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.after
    }

    /// When the current call must be over, if anybody set a deadline.
    #[must_use]
    pub fn current() -> Option<Instant> {
        Context::try_current()?.deadline()
    }

    /// Makes the call, and drops it at the deadline. Past the deadline already, the call is not made.
    ///
    /// # Errors
    /// [`DeadlineError::Exceeded`], or the call's own error.
    pub async fn call<T, E, F>(self, op: F) -> Result<T, DeadlineError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let (context, at) = self.enter();
        if at.is_some_and(|at| at <= Instant::now()) {
            return Err(DeadlineError::exceeded());
        }
        match Within::new(at.map(Limit::At), context.scope(op())).await {
            Some(result) => result.map_err(DeadlineError::inner),
            None => Err(DeadlineError::exceeded()),
        }
    }

    /// A tower layer that gives every request a deadline.
    #[must_use]
    pub const fn layer(&self) -> DeadlineLayer {
        DeadlineLayer::new(*self)
    }

    /// The context of a call that starts now, and its deadline.
    pub(crate) fn enter(&self) -> (Context, Option<Instant>) {
        let context = Context::current().with_timeout(self.after);
        let at = context.deadline();
        (context, at)
    }
}

impl From<Duration> for Deadline {
    fn from(after: Duration) -> Self {
        Self::after(after)
    }
}
