//! How long something may stand still.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// A timer that runs while progress is waited for.
#[derive(Debug, Default)]
pub(crate) struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    pub(crate) fn progressed(&mut self) {
        self.0 = None;
    }

    /// Whether progress is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    /// Since when progress is waited for, given the limit that it is waited for with.
    pub(crate) fn since(&self, limit: Duration) -> Option<Instant> {
        self.0.as_ref().and_then(|sleep| sleep.deadline().checked_sub(limit))
    }

    /// Whether there has been no progress for `limit`.
    pub(crate) fn poll_over(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx)
    }
}
