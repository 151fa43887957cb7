use std::sync::Arc;

use super::{Bound, Lint, Parts, Pipeline};
use crate::{
    AdaptiveConcurrency, AdaptiveThrottle, Bulkhead, CircuitBreaker, Deadline, Name, RateLimit, Retry, Timeout,
    config::{ConfigError, check_duration},
};

/// Builds a [`Pipeline`]; the strategies stand in the order in which a call meets them, the outermost first.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PipelineBuilder {
    parts: Parts,
    order: Vec<Stage>,
}

/// In the order in which they may stand; breaker, timeout and retry have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Deadline,
    RateLimit,
    Bulkhead,
    Breaker,
    Timeout,
    Retry,
    Throttle,
    Concurrency,
}

impl Stage {
    fn field(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::RateLimit => "rate_limit",
            Self::Bulkhead => "bulkhead",
            Self::Breaker => "breaker",
            Self::Timeout => "timeout",
            Self::Retry => "retry",
            Self::Throttle => "throttle",
            Self::Concurrency => "concurrency",
        }
    }

    /// Whether `self` may stand above `below`, and if not, why.
    fn may_stand_above(self, below: Self) -> Result<(), &'static str> {
        match (self, below) {
            (Self::Retry, Self::Breaker | Self::Timeout) => Ok(()),
            (Self::Timeout, Self::Breaker) => Err(
                "must stand above the timeout, so that a call that times out counts; bound the whole call with a deadline",
            ),
            (Self::Throttle | Self::Concurrency, Self::Timeout) => Ok(()),
            (above, below) if above < below => Ok(()),
            (above, below) if above == below => Err("may stand in a pipeline only once"),
            _ => Err(
                "stands too low: the order is deadline, rate_limit, bulkhead, then breaker, timeout and retry, then \
                 throttle and concurrency, and below them a timeout for each attempt",
            ),
        }
    }
}

impl PipelineBuilder {
    pub(super) fn new(name: Name) -> Self {
        let parts = Parts { name, ..Parts::default() };
        Self { parts, order: Vec::new() }
    }

    /// Bounds the whole call, waits included.
    pub fn deadline(mut self, deadline: impl Into<Deadline>) -> Self {
        self.parts.deadline = Some(deadline.into());
        self.stage(Stage::Deadline)
    }

    /// Holds calls to a rate.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.parts.rate_limit = Some(limit);
        self.stage(Stage::RateLimit)
    }

    /// Bounds the calls in flight.
    pub fn bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.parts.bulkhead = Some(bulkhead);
        self.stage(Stage::Bulkhead)
    }

    /// Stops calling what fails. Above the retry it counts calls, below it attempts.
    pub fn breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.parts.breaker = Some(breaker);
        self.stage(Stage::Breaker)
    }

    /// Bounds time. Above the retry it bounds all attempts together, below it each one.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.parts.timeout = Some(timeout.into());
        self.stage(Stage::Timeout)
    }

    /// Calls again what failed.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.parts.retry = Some(retry);
        self.stage(Stage::Retry)
    }

    /// Holds attempts back that the dependency would refuse.
    pub fn throttle(mut self, throttle: AdaptiveThrottle) -> Self {
        self.parts.throttle = Some(throttle);
        self.stage(Stage::Throttle)
    }

    /// Bounds the attempts in flight by the latency of the dependency.
    pub fn concurrency(mut self, limit: AdaptiveConcurrency) -> Self {
        self.parts.concurrency = Some(limit);
        self.stage(Stage::Concurrency)
    }

    fn stage(mut self, stage: Stage) -> Self {
        self.order.push(stage);
        self
    }

    /// The finished pipeline; see [`Pipeline::lints`] for what is odd about it.
    ///
    /// # Errors
    /// A strategy out of order, or a timeout or deadline of zero.
    pub fn build(self) -> Result<Pipeline, ConfigError> {
        let Self { mut parts, order } = self;
        for (position, below) in order.iter().enumerate() {
            for above in &order[..position] {
                if let Err(reason) = above.may_stand_above(*below) {
                    let value = format!("below {}", above.field());
                    return Err(ConfigError::refused(below.field(), value, reason));
                }
            }
        }
        let place = |stage: Stage| order.iter().position(|placed| *placed == stage);
        let below_retry = |stage: Stage| place(stage) > place(Stage::Retry);
        for stage in [Stage::Throttle, Stage::Concurrency] {
            if place(Stage::Timeout).is_some() && below_retry(Stage::Timeout) && place(stage) > place(Stage::Timeout) {
                let reason = "must stand above the timeout of each attempt, so that an attempt that times out counts";
                return Err(ConfigError::refused(stage.field(), "below timeout", reason));
            }
        }
        if let Some(timeout) = parts.timeout {
            check_duration("timeout", timeout.duration())?;
        }
        if let Some(deadline) = parts.deadline {
            check_duration("deadline", deadline.duration())?;
        }
        parts.breaker_per_attempt = below_retry(Stage::Breaker);
        parts.timeout_per_attempt = below_retry(Stage::Timeout);
        Ok(Pipeline::from_parts(parts))
    }
}

impl Pipeline {
    pub(super) fn from_parts(mut parts: Parts) -> Self {
        parts.lints = lints(&parts);
        for lint in &parts.lints {
            tracing::warn!(pipeline = %parts.name, "{lint}");
        }
        Self { parts: Arc::new(parts) }
    }
}

fn lints(parts: &Parts) -> Vec<Lint> {
    let Some(retry) = &parts.retry else { return Vec::new() };
    let starts = retry.attempt_starts();
    let timeout = parts.timeout.filter(|_| !parts.timeout_per_attempt);
    let timeout = timeout.and_then(|timeout| Lint::schedule(Bound::Timeout, timeout.duration(), &starts));
    let deadline = parts.deadline.and_then(|deadline| Lint::schedule(Bound::Deadline, deadline.duration(), &starts));
    timeout.into_iter().chain(deadline).collect()
}
