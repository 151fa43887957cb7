//! The crate `backoff` as a schedule, in both directions.

use std::time::Duration;

use super::{Backoff, Retry, backoff::Delays};

/// Lets any `backoff::backoff::Backoff` serve as the schedule of a [`Retry`]: a function that makes a fresh one a call.
#[derive(Debug, Clone)]
pub struct BackoffCrate<F>(pub F);

impl<F, B> Backoff for BackoffCrate<F>
where
    F: Fn() -> B + Send + Sync + 'static,
    B: backoff::backoff::Backoff + Send + 'static,
{
    fn delays(&self) -> Box<dyn Iterator<Item = Duration> + Send> {
        let mut backoff = (self.0)();
        Box::new(std::iter::from_fn(move || backoff.next_backoff()))
    }
}

/// The schedule of a [`Retry`] as a `backoff::backoff::Backoff`: its delays, jitter included, up to `max_retries`.
#[derive(Debug)]
pub struct ScheduleBackoff {
    retry: Retry,
    delays: Option<Delays>,
    taken: u32,
}

impl ScheduleBackoff {
    /// Begins the schedule of `retry`.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        Self { retry, delays: None, taken: 0 }
    }
}

impl backoff::backoff::Backoff for ScheduleBackoff {
    fn reset(&mut self) {
        self.delays = None;
        self.taken = 0;
    }

    fn next_backoff(&mut self) -> Option<Duration> {
        if self.taken >= self.retry.config().max_retries {
            return None;
        }
        self.taken += 1;
        self.retry.next_delay(&mut self.delays)
    }
}
