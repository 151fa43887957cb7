use std::{fmt, sync::Arc, time::Duration};

use super::{
    Backoff, Inner, Jitter, Retry, RetryBudget, RetryConfig, RetryEvent, ScheduleKind, UpstreamRetries, event::Listener,
};
use crate::{
    classify::{ErrorRules, Outcome},
    config::ConfigError,
    random::Dice,
};

/// Builds a [`Retry`]; the plain setters set the field of [`RetryConfig`] of the same name.
#[must_use = "nothing is built before `build`"]
#[derive(Default)]
pub struct RetryBuilder {
    config: RetryConfig,
    backoff: Option<Arc<dyn Backoff>>,
    budget: Option<RetryBudget>,
    vetoes: ErrorRules,
    waits: ErrorRules,
    unsent: ErrorRules<()>,
    listeners: Vec<Listener>,
    seed: Option<u64>,
}

impl RetryBuilder {
    /// Takes all fields from a configuration.
    pub fn config(mut self, config: RetryConfig) -> Self {
        self.config = config;
        self
    }

    /// Retries after the first call.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.config.max_retries = retries;
        self
    }

    /// Delay before the first retry.
    pub fn min_delay(mut self, delay: Duration) -> Self {
        self.config.min_delay = delay;
        self
    }

    /// By how much each delay is longer than the one before.
    pub fn factor(mut self, factor: f64) -> Self {
        self.config.factor = factor;
        self
    }

    /// Bound of a delay.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.config.max_delay = delay;
        self
    }

    /// How a delay is spread at random.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.config.jitter = jitter;
        self
    }

    /// How the delays grow.
    pub fn schedule(mut self, schedule: ScheduleKind) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// Waits by a schedule of your own, to which neither bounds nor jitter apply; `max_retries` does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sap_comm_resilience::Retry;
    ///
    /// let retry = Retry::builder().backoff(|| [5, 10].into_iter().map(Duration::from_millis)).build()?;
    /// # Ok::<(), sap_comm_core::config::ConfigError>(())
    /// ```
    pub fn backoff(mut self, backoff: impl Backoff) -> Self {
        self.backoff = Some(Arc::new(backoff));
        self
    }

    /// Bound of a delay that the server asks for.
    pub fn max_retry_after(mut self, delay: Duration) -> Self {
        self.config.max_retry_after = delay;
        self
    }

    /// What to do inside a request that is itself a retry.
    pub fn upstream_retries(mut self, upstream: UpstreamRetries) -> Self {
        self.config.upstream_retries = upstream;
        self
    }

    /// Takes every retry out of this budget.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Retries an error of type `E` only if `retryable` says so. Errors of other types are not affected.
    pub fn retry_if<E: 'static>(mut self, retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.vetoes.add(move |error: &E| (!retryable(error)).then_some(Outcome::Ignored));
        self
    }

    /// Waits at least as long as an error of type `E` asks for, if it is retried at all.
    pub fn retry_after<E: 'static>(mut self, after: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.waits.add(move |error: &E| after(error).map(|after| Outcome::Throttled(Some(after))));
        self
    }

    /// Says which errors of type `E` mean that certainly nothing was sent, such as a connection that was refused.
    ///
    /// After them, and only then, a layer repeats a request that must not be sent twice. Say nothing of a connection
    /// that broke: what it carried may have arrived.
    ///
    /// ```
    /// use std::io;
    /// use sap_comm_resilience::Retry;
    ///
    /// let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    /// let layer = Retry::builder().never_sent(refused).build()?.http_layer();
    /// # Ok::<(), sap_comm_core::config::ConfigError>(())
    /// ```
    pub fn never_sent<E: 'static>(mut self, unsent: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.unsent.add(move |error: &E| unsent(error).then_some(()));
        self
    }

    /// Calls `listener` before every wait. One that panics is logged.
    pub fn on_retry(mut self, listener: impl Fn(&RetryEvent<'_>) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Makes the jitter repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The finished retry.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<Retry, ConfigError> {
        let Self { config, backoff, budget, vetoes, waits, unsent, listeners, seed } = self;
        config.validate()?;
        let inner = Inner { config, backoff, budget, vetoes, waits, unsent, listeners, dice: Dice::new(seed) };
        Ok(Retry { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for RetryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
