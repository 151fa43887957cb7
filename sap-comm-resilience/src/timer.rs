use std::{
    future::Future,
    pin::{Pin, pin},
    task::Context,
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep, sleep_until},
};

pin_project! {
    /// Tells when a limit is over. Set up at the first wait: what never waits costs no timer.
    pub(crate) struct Timer {
        limit: Option<Limit>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// How long a call may take.
pub(crate) enum Limit {
    /// So long, from the first wait on.
    After(Duration),
    /// Until then.
    At(Instant),
}

impl Timer {
    /// Without a limit, it is never over.
    pub(crate) fn new(limit: impl Into<Option<Limit>>) -> Self {
        Self { limit: limit.into(), sleep: None }
    }

    pub(crate) fn set(self: Pin<&mut Self>, limit: Option<Limit>) {
        let mut this = self.project();
        *this.limit = limit;
        this.sleep.set(None);
    }

    /// Whether the limit is over. A call that uses up the budget of its task does not put it off.
    pub(crate) fn elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        let Some(limit) = this.limit else { return false };
        if this.sleep.is_none() {
            this.sleep.set(Some(match limit {
                Limit::After(after) => sleep(*after),
                Limit::At(at) => sleep_until(*at),
            }));
        }
        this.sleep.as_pin_mut().is_some_and(|sleep| pin!(unconstrained(sleep)).poll(cx).is_ready())
    }
}
