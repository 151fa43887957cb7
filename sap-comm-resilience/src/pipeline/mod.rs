//! Several strategies around one call, in an order that reads from top to bottom.
#![doc = include_str!("../docs/pipeline.md")]

mod builder;
mod error;
mod lint;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

pub use builder::PipelineBuilder;
pub use error::PipelineError;
use error::judge;
pub use lint::{Bound, Lint};
use tokio::time::Instant;

use crate::{
    Bulkhead, CircuitBreaker, Deadline, Name, RateLimit, Retry, Timeout,
    classify::{Classify, Standard},
    retry::{Session, scoped},
};

/// Several strategies around one call. Clones share them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::{io, time::Duration};
/// use sap_comm_resilience::{CircuitBreaker, Pipeline, PipelineError, Retry};
///
/// let pipeline = Pipeline::builder("userService")
///     .deadline(Duration::from_secs(10))
///     .retry(Retry::builder().max_retries(2).build()?)
///     .breaker(CircuitBreaker::builder("userService").build()?)
///     .timeout(Duration::from_secs(3))
///     .build()?;
/// let answer: Result<u32, PipelineError<io::Error>> = pipeline.call(async || Ok(42)).await;
/// assert_eq!(answer?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pipeline {
    parts: Arc<Parts>,
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
    breaker_per_attempt: bool,
    timeout_per_attempt: bool,
    lints: Vec<Lint>,
}

impl Pipeline {
    /// Begins a pipeline that does nothing yet.
    pub fn builder(name: impl Into<Name>) -> PipelineBuilder {
        PipelineBuilder::new(name.into())
    }

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
    #[must_use]
    pub fn per_attempt(&self, deadline: Duration) -> Self {
        let mut parts = Parts::clone(&self.parts);
        parts.deadline = Some(Deadline::after(deadline));
        (parts.breaker_per_attempt, parts.timeout_per_attempt) = (true, true);
        Self::from_parts(parts)
    }

    /// Makes the call through all strategies. With a retry, only for calls that may be made twice.
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
    {
        let Some(deadline) = self.parts.deadline else {
            return self.admitted(classifier, op).await;
        };
        let (context, at) = deadline.enter();
        let call = context.scope(self.admitted(classifier, op));
        match at {
            Some(at) if at <= Instant::now() => Err(PipelineError::deadline_exceeded()),
            Some(at) => {
                tokio::time::timeout_at(at, call).await.unwrap_or_else(|_| Err(PipelineError::deadline_exceeded()))
            }
            None => call.await,
        }
    }

    async fn admitted<C, T, E, F, Fut>(&self, classifier: &C, op: F) -> Result<T, PipelineError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(limit) = &self.parts.rate_limit {
            limit.acquire().await.map_err(PipelineError::limited)?;
        }
        let _slot = match &self.parts.bulkhead {
            Some(bulkhead) => Some(bulkhead.acquire().await.map_err(PipelineError::full)?),
            None => None,
        };
        let Parts { breaker, timeout, breaker_per_attempt, timeout_per_attempt, .. } = &*self.parts;
        let breaker = breaker.as_ref().filter(|_| !breaker_per_attempt);
        let timeout = timeout.filter(|_| !timeout_per_attempt);
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout.duration()));
        guarded(breaker, classifier, bounded(timeout, self.attempts(classifier, until, op))).await
    }

    async fn attempts<C, T, E, F, Fut>(
        &self,
        classifier: &C,
        until: Option<Instant>,
        mut op: F,
    ) -> Result<T, PipelineError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Some(retry) = &self.parts.retry else {
            return self.attempt(classifier, &mut op).await;
        };
        let mut session = Session::begin(retry, until);
        let mut result = self.attempt(classifier, &mut op).await;
        loop {
            let (outcome, judged) = judge(classifier, result);
            let Some(delay) = session.next(retry, outcome, judged.as_ref().err()) else { return judged };
            drop(judged);
            tokio::time::sleep(delay).await;
            result = scoped(session.context(), self.attempt(classifier, &mut op)).await;
        }
    }

    async fn attempt<C, T, E, F, Fut>(&self, classifier: &C, op: &mut F) -> Result<T, PipelineError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let Parts { breaker, timeout, breaker_per_attempt, timeout_per_attempt, .. } = &*self.parts;
        let breaker = breaker.as_ref().filter(|_| *breaker_per_attempt);
        let timeout = timeout.filter(|_| *timeout_per_attempt);
        guarded(breaker, classifier, bounded(timeout, async { op().await.map_err(PipelineError::inner) })).await
    }
}

async fn guarded<C, T, E>(
    breaker: Option<&CircuitBreaker>,
    classifier: &C,
    call: impl Future<Output = Result<T, PipelineError<E>>>,
) -> Result<T, PipelineError<E>>
where
    C: Classify<T, E>,
    E: 'static,
{
    let Some(breaker) = breaker else { return call.await };
    let mut permit = breaker.try_acquire().map_err(PipelineError::open)?.0;
    let mut call = pin!(call);
    let result = std::future::poll_fn(|cx| permit.watch(|| call.as_mut().poll(cx))).await;
    let (outcome, result) = judge(classifier, result);
    permit.settle(outcome);
    result
}

async fn bounded<T, E: 'static>(
    timeout: Option<Timeout>,
    call: impl Future<Output = Result<T, PipelineError<E>>>,
) -> Result<T, PipelineError<E>> {
    let Some(timeout) = timeout else { return call.await };
    let after = timeout.duration();
    tokio::time::timeout(after, call).await.unwrap_or_else(|_| Err(PipelineError::timed_out(after)))
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
            breaker_per_attempt: false,
            timeout_per_attempt: false,
            lints: Vec::new(),
        }
    }
}
