use std::sync::Arc;

use super::{Lint, Parts, Pipeline};
use crate::{
    AdaptiveConcurrency, AdaptiveThrottle, Bulkhead, CircuitBreaker, Deadline, Fallback, Hedge, Name, NoFallback,
    RateLimit, Retry, Timeout,
    config::{ConfigError, check_duration},
};

/// Builds a [`Pipeline`]; the strategies stand in the order in which a call meets them, the outermost first.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct PipelineBuilder<A = NoFallback> {
    parts: Parts,
    order: Vec<Stage>,
    fallback: A,
}

/// In the order in which they may stand; breaker, timeout and retry have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Fallback,
    Deadline,
    RateLimit,
    Bulkhead,
    Breaker,
    Timeout,
    Retry,
    Throttle,
    Concurrency,
    Hedge,
}

impl Stage {
    fn field(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::Deadline => "deadline",
            Self::RateLimit => "rate_limit",
            Self::Bulkhead => "bulkhead",
            Self::Breaker => "breaker",
            Self::Timeout => "timeout",
            Self::Retry => "retry",
            Self::Throttle => "throttle",
            Self::Concurrency => "concurrency",
            Self::Hedge => "hedge",
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
            _ => {
                Err("stands too low: the order is fallback, deadline, rate_limit, bulkhead, then breaker, timeout and \
                 retry, then throttle and concurrency, below them a timeout for each attempt, and last a hedge")
            }
        }
    }
}

impl PipelineBuilder {
    pub(super) fn new(name: Name) -> Self {
        let parts = Parts { name, ..Parts::default() };
        Self { parts, order: Vec::new(), fallback: NoFallback }
    }
}

impl<A> PipelineBuilder<A> {
    /// Answers for every call that fails, whatever failed it: a function of the
    /// [`PipelineError`](crate::PipelineError).
    pub fn fallback<F>(self, fallback: Fallback<F>) -> PipelineBuilder<Fallback<F>> {
        let Self { parts, order, .. } = self;
        PipelineBuilder { parts, order, fallback }.stage(Stage::Fallback)
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

    /// Makes an attempt a second time when it takes long. The copies are part of their attempt: they share its place,
    /// its time and its outcome.
    pub fn hedge(mut self, hedge: Hedge) -> Self {
        self.parts.hedge = Some(hedge);
        self.stage(Stage::Hedge)
    }

    fn stage(mut self, stage: Stage) -> Self {
        self.order.push(stage);
        self
    }

    /// The finished pipeline; see [`Pipeline::lints`] for what is odd about it.
    ///
    /// # Errors
    /// A strategy out of order, or a timeout or deadline of zero.
    pub fn build(self) -> Result<Pipeline<A>, ConfigError> {
        let Self { mut parts, order, fallback } = self;
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
        parts.breaker_per_attempt = below_retry(Stage::Breaker);
        parts.timeout_per_attempt = below_retry(Stage::Timeout);
        Ok(Pipeline { parts: parts.finish()?, fallback })
    }
}

impl Parts {
    /// Checks what no strategy checks by itself, and finds what is odd.
    pub(super) fn finish(mut self) -> Result<Arc<Self>, ConfigError> {
        if let Some(timeout) = self.timeout {
            check_duration("timeout", timeout.duration())?;
        }
        if let Some(deadline) = self.deadline {
            check_duration("deadline", deadline.duration())?;
        }
        self.lints = Lint::all(&self);
        for lint in &self.lints {
            tracing::warn!(pipeline = %self.name, "{lint}");
        }
        Ok(Arc::new(self))
    }
}
