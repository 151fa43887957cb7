//! Calls again what failed in passing.

mod backoff;
#[cfg(feature = "backoff")]
mod backoff_crate;
mod budget;
mod builder;
mod config;
mod event;
mod future;
mod jitter;
mod layer;
mod replay;
mod session;

use std::{fmt, future::Future, sync::Arc, time::Duration};

pub use backoff::Backoff;
#[cfg(feature = "backoff")]
pub use backoff_crate::{BackoffCrate, ScheduleBackoff};
pub use budget::RetryBudget;
pub use builder::RetryBuilder;
pub use config::{RetryConfig, ScheduleKind, UpstreamRetries};
pub use event::RetryEvent;
pub use future::RetryFuture;
pub use jitter::Jitter;
pub use layer::{RetryLayer, RetryService};
pub(crate) use replay::Kept;
pub use replay::{AllIdempotent, HttpReplay, Replay, ReplayBody, ReplayBodyError, ReplayBodyLayer, ReplayBodyService};
pub(crate) use session::Session;

use crate::{
    HttpStatus,
    classify::{Classify, ErrorRules, Standard},
    config::ConfigError,
    numbering::Numbering,
    random::Dice,
    scoped::Scoped,
};

/// Retries calls by a schedule. Clones share configuration and budget.
#[doc = include_str!("../docs/retry.md")]
#[derive(Clone)]
pub struct Retry {
    inner: Arc<Inner>,
}

struct Inner {
    config: RetryConfig,
    backoff: Option<Arc<dyn Backoff>>,
    budget: Option<RetryBudget>,
    /// Which errors are not retried.
    vetoes: ErrorRules,
    /// How long errors ask to wait.
    waits: ErrorRules,
    /// Which errors say that nothing was sent.
    unsent: ErrorRules<()>,
    listeners: Vec<event::Listener>,
    dice: Dice,
}

impl Retry {
    /// Begins a retry with the defaults of [`RetryConfig`].
    pub fn builder() -> RetryBuilder {
        RetryBuilder::default()
    }

    /// A retry from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(config: RetryConfig) -> Result<Self, ConfigError> {
        Self::builder().config(config).build()
    }

    /// Makes the call, and makes it again while it fails and schedule, budget and deadline allow.
    ///
    /// Only for calls that may be made twice. A rejection by a strategy of this crate is not retried. Dropping the
    /// future drops the attempt in flight.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call<T, E, F, Fut>(&self, op: F) -> Result<T, E>
    where
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own; it may call an `Ok` a failure.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call_with<C, T, E, F, Fut>(&self, classifier: &C, mut op: F) -> Result<T, E>
    where
        C: Classify<T, E>,
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (mut session, mut numbering) = (Session::begin(self, None), Numbering::default());
        loop {
            let result = Scoped::begin(numbering.next(), &mut op).await;
            let delay = session.next(self, classifier.judge(&result), result.as_ref().err());
            let Some(delay) = delay else { return result };
            drop(result);
            tokio::time::sleep(delay).await;
        }
    }

    /// A tower layer that retries the requests that `replay` can copy.
    #[must_use]
    pub fn layer<P>(&self, replay: P) -> RetryLayer<P> {
        RetryLayer::new(self.clone(), replay, Standard)
    }

    /// A tower layer for HTTP: retries idempotent requests with small bodies by [`HttpStatus`].
    #[must_use]
    pub fn http_layer(&self) -> RetryLayer<HttpReplay, HttpStatus> {
        RetryLayer::new(self.clone(), HttpReplay::default(), HttpStatus)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &RetryConfig {
        &self.inner.config
    }

    /// When the attempts of a call start if each fails at once, without jitter: the first at zero.
    #[must_use]
    pub fn attempt_starts(&self) -> Vec<Duration> {
        backoff::attempt_starts(&self.inner.config, self.inner.backoff.as_ref())
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
