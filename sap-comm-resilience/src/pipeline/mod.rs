//! Several strategies around one call, in an order that reads from top to bottom.

mod attempts;
mod builder;
mod error;
mod holder;
mod layer;
mod lint;
mod run;

use std::{future::Future, sync::Arc, time::Duration};

use attempts::Calls;
pub use builder::PipelineBuilder;
pub use error::PipelineError;
pub use layer::{PipelineFuture, PipelineLayer, PipelineService};
pub use lint::{Bound, Lint};
use run::Run;

use crate::{
    AdaptiveConcurrency, AdaptiveThrottle, Answer, Bulkhead, CircuitBreaker, Deadline, Hedge, HttpReplay, HttpStatus,
    Name, NoFallback, RateLimit, Retry, Timeout,
    classify::{Classify, Outcome, Standard},
    config::ConfigError,
    fallback::stands,
};

/// Several strategies around one call. Clones share them.
#[doc = include_str!("../docs/pipeline.md")]
#[derive(Debug, Clone)]
pub struct Pipeline<A = NoFallback> {
    parts: Arc<Parts>,
    fallback: A,
}

#[derive(Debug, Clone)]
struct Parts {
    name: Name,
    deadline: Option<Deadline>,
    rate_limit: Option<RateLimit>,
    bulkhead: Option<Bulkhead>,
    breaker: Option<CircuitBreaker>,
    timeout: Option<Timeout>,
    retry: Option<Retry>,
    throttle: Option<AdaptiveThrottle>,
    concurrency: Option<AdaptiveConcurrency>,
    hedge: Option<Hedge>,
    breaker_per_attempt: bool,
    timeout_per_attempt: bool,
    lints: Vec<Lint>,
}

impl Pipeline {
    /// Begins a pipeline that does nothing yet.
    pub fn builder(name: impl Into<Name>) -> PipelineBuilder {
        PipelineBuilder::new(name.into())
    }
}

impl<A> Pipeline<A> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.parts.name
    }

    /// What is odd about it; also logged when it was built.
    #[must_use]
    pub fn lints(&self) -> &[Lint] {
        &self.parts.lints
    }

    /// The circuit breaker in it.
    #[must_use]
    pub fn breaker(&self) -> Option<&CircuitBreaker> {
        self.parts.breaker.as_ref()
    }

    /// The same strategies with breaker and timeout for each attempt, and a deadline around all.
    ///
    /// # Errors
    /// A `deadline` of zero, or over a year.
    pub fn per_attempt(&self, deadline: Duration) -> Result<Self, ConfigError>
    where
        A: Clone,
    {
        let mut parts = Parts::clone(&self.parts);
        parts.deadline = Some(Deadline::after(deadline));
        (parts.breaker_per_attempt, parts.timeout_per_attempt) = (true, true);
        Ok(Self { parts: parts.finish()?, fallback: self.fallback.clone() })
    }

    /// Makes the call through all strategies. With a retry or a hedge, only for calls that may be made twice.
    ///
    /// Dropping the future drops the attempt in flight and gives every slot back; it counts for nothing.
    ///
    /// # Errors
    /// The strategy that refused or dropped the call, or the call's own last error.
    pub async fn call<T, E, F, Fut>(&self, op: F) -> Result<T, PipelineError<E>>
    where
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        A: Answer<T, PipelineError<E>>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own.
    ///
    /// # Errors
    /// The strategy that refused or dropped the call, or the call's own last error.
    pub async fn call_with<C, T, E, F, Fut>(&self, classifier: &C, op: F) -> Result<T, PipelineError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        A: Answer<T, PipelineError<E>>,
    {
        let (outcome, result) = Run::new(&*self.parts, Calls { op, classifier }, ()).await;
        match answer(&self.fallback, outcome, result) {
            Ok(answer) => answer.await,
            Err(result) => result,
        }
    }

    /// A tower layer that sends every request through all strategies; those that `replay` can copy are retried.
    #[must_use]
    pub fn layer<P>(&self, replay: P) -> PipelineLayer<P, Standard, A>
    where
        A: Clone,
    {
        PipelineLayer::new(self.clone(), replay, Standard)
    }

    /// A tower layer for HTTP: judges by [`HttpStatus`], and retries idempotent requests with small bodies.
    #[must_use]
    pub fn http_layer(&self) -> PipelineLayer<HttpReplay, HttpStatus, A>
    where
        A: Clone,
    {
        PipelineLayer::new(self.clone(), HttpReplay::default(), HttpStatus)
    }
}

/// What the fallback makes of a call that ended; what a strategy refused or dropped has no outcome.
fn answer<A, T, E>(fallback: &A, outcome: Option<Outcome>, result: Result<T, E>) -> Result<A::Future, Result<T, E>>
where
    A: Answer<T, E>,
{
    if outcome.is_some_and(stands) { Err(result) } else { fallback.otherwise(result) }
}

impl Parts {
    /// What becomes of a call or an attempt whose timeout is over.
    fn timed_out<E: 'static>(&self) -> PipelineError<E> {
        PipelineError::timed_out(self.timeout.map(|timeout| timeout.duration()).unwrap_or_default())
    }
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            name: Name::from(""),
            deadline: None,
            rate_limit: None,
            bulkhead: None,
            breaker: None,
            timeout: None,
            retry: None,
            throttle: None,
            concurrency: None,
            hedge: None,
            breaker_per_attempt: false,
            timeout_per_attempt: false,
            lints: Vec::new(),
        }
    }
}
