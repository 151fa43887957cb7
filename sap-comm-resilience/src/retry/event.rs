use std::{any::Any, fmt, time::Duration};

use crate::classify::{Outcome, View, layers};

pub(super) type Listener = Box<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

/// A retry that is about to wait, as `on_retry` sees it.
pub struct RetryEvent<'a> {
    /// The attempt that failed, from 1.
    pub attempt: u32,
    /// How long until the next one.
    pub delay: Duration,
    /// What the failed attempt came to.
    pub outcome: Outcome,
    pub(super) error: Option<&'a dyn Any>,
}

impl RetryEvent<'_> {
    /// The error, if it is of this type or wraps one in an error of this crate.
    #[must_use]
    pub fn error<E: 'static>(&self) -> Option<&E> {
        layers(self.error?).find_map(|view| match view {
            View::Inner(error) => error.downcast_ref(),
            View::Own(_) | View::TimedOut => None,
        })
    }
}

impl fmt::Debug for RetryEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryEvent")
            .field("attempt", &self.attempt)
            .field("delay", &self.delay)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
