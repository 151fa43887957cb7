use std::{any::Any, time::Duration};

use sap_comm_core::Context;
use tokio::time::Instant;

use super::{Retry, RetryEvent, UpstreamRetries, backoff::Delays};
use crate::{classify::Outcome, contain::contained};

/// One call on its way through its attempts.
#[derive(Debug)]
pub(crate) struct Session {
    attempt: u32,
    delays: Option<Delays>,
    until: Option<Instant>,
}

impl Session {
    /// Begins with the first attempt and pays into the budget. No attempt starts at `until` or later.
    pub(crate) fn begin(retry: &Retry, until: Option<Instant>) -> Self {
        if let Some(budget) = &retry.inner.budget {
            budget.deposit();
        }
        Self { attempt: 1, delays: None, until }
    }

    /// After an attempt: how long to wait for the next one, or `None` when this result stands.
    pub(crate) fn next<E: 'static>(&mut self, retry: &Retry, outcome: Outcome, error: Option<&E>) -> Option<Duration> {
        let config = &retry.inner.config;
        let mut outcome = retry.inner.vetoes.refine(outcome, error);
        if matches!(outcome, Outcome::Failure | Outcome::Throttled(_)) {
            outcome = retry.inner.waits.refine(outcome, error);
        }
        let asked = match outcome {
            Outcome::Failure => None,
            Outcome::Throttled(after) => after,
            Outcome::Success | Outcome::Ignored | Outcome::Rejected => return None,
        };
        if self.attempt > config.max_retries || asked.is_some_and(|after| after > config.max_retry_after) {
            return None;
        }
        let context = Context::try_current();
        let upstream_retries = context.as_ref().is_some_and(|context| context.attempt() > 1);
        if upstream_retries && config.upstream_retries == UpstreamRetries::Yield {
            return None;
        }
        let mut delay = retry.next_delay(&mut self.delays)?;
        if let Some(asked) = asked {
            delay = delay.max(config.jitter.after(asked, &retry.inner.dice));
        }
        let deadline = context.and_then(|context| context.deadline());
        let mut bounds = deadline.into_iter().chain(self.until);
        let fits = bounds.all(|bound| Instant::now().checked_add(delay).is_some_and(|at| at < bound));
        if !fits || !retry.inner.budget.as_ref().is_none_or(super::RetryBudget::try_withdraw) {
            return None;
        }
        let error = error.map(|error| error as &dyn Any);
        retry.tell(&RetryEvent { attempt: self.attempt, delay, outcome, error });
        self.attempt += 1;
        Some(delay)
    }
}

impl Retry {
    /// Whether it repeats, after some errors, what must not be sent twice.
    pub(crate) fn repeats_unsent(&self) -> bool {
        !self.inner.unsent.is_empty()
    }

    /// Whether an attempt that ended like this certainly sent nothing.
    pub(crate) fn was_unsent<E: 'static>(&self, error: Option<&E>) -> bool {
        self.inner.unsent.know(error)
    }

    /// The next delay of a schedule, which begins with the first one asked for.
    pub(super) fn next_delay(&self, delays: &mut Option<Delays>) -> Option<Duration> {
        let inner = &self.inner;
        let (config, dice) = (&inner.config, &inner.dice);
        let delays = delays.get_or_insert_with(|| Delays::begin(config, inner.backoff.as_ref()));
        let delay = delays.next(config, dice)?;
        let jittered = delays.takes_jitter();
        Some(if jittered { config.jitter.apply(delay, config.min_delay, config.max_delay, dice) } else { delay })
    }

    fn tell(&self, event: &RetryEvent<'_>) {
        tracing::debug!(attempt = event.attempt, delay = ?event.delay, outcome = ?event.outcome, "retrying");
        for listener in &self.inner.listeners {
            contained("a retry listener", || listener(event));
        }
    }
}
