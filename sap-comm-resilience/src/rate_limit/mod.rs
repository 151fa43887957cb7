//! Bounds how many calls are made in a time.

mod clock;
mod config;
mod error;
mod future;
mod layer;
mod queue;

use std::{fmt, sync::Arc, time::Duration};

use clock::TokioClock;
pub use config::RateLimitConfig;
pub use error::{RateLimitError, RateLimited};
pub use future::RateLimitFuture;
use governor::{
    RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
pub use layer::{RateLimitLayer, RateLimitService};
use queue::Queue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Name, config::ConfigError};

/// A rate limit by the generic cell rate algorithm. Clones share it.
#[doc = include_str!("../docs/rate_limit.md")]
#[derive(Clone)]
pub struct RateLimit {
    inner: Arc<Inner>,
}

struct Inner {
    name: Name,
    max_wait: Duration,
    /// Between two calls of the steady rate.
    interval: Duration,
    queue: Queue,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
}

/// Builds a [`RateLimit`]; see [`RateLimitConfig`] for what the fields mean.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct RateLimitBuilder {
    name: Name,
    config: RateLimitConfig,
}

impl RateLimit {
    /// Begins a rate limit with the defaults of [`RateLimitConfig`].
    pub fn builder(name: impl Into<Name>) -> RateLimitBuilder {
        RateLimitBuilder { name: name.into(), config: RateLimitConfig::default() }
    }

    /// A rate limit from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(name: impl Into<Name>, config: RateLimitConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// Calls that wait at this moment.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.inner.queue.len()
    }

    /// Takes one call out of the rate, or tells when to come again. Overtakes nobody who waits.
    ///
    /// # Errors
    /// [`RateLimited`]; nothing is taken then.
    pub fn check(&self) -> Result<(), RateLimited> {
        match self.queued() {
            0 => self.take(),
            ahead => Err(self.limited(ahead)),
        }
    }

    /// Takes one call out of the rate, and waits for it up to `max_wait`, in order. Cancel safe: a dropped wait leaves
    /// the queue.
    ///
    /// # Errors
    /// [`RateLimited`], at once if the wait would be too long or the queue is full.
    pub async fn acquire(&self) -> Result<(), RateLimited> {
        let Err(limited) = self.check() else { return Ok(()) };
        let inner = &*self.inner;
        let until = Instant::now() + inner.max_wait;
        if limited.retry_after > inner.max_wait {
            return Err(limited);
        }
        let Some(place) = inner.queue.join() else { return Err(limited) };
        let Ok(_turn) = timeout_at(until, place.turn()).await else { return Err(self.limited(self.queued())) };
        while let Err(limited) = self.take() {
            if Instant::now() + limited.retry_after > until {
                return Err(limited);
            }
            inner.queue.first_goes_at(inner.clock.now() + limited.retry_after);
            sleep(limited.retry_after).await;
        }
        Ok(())
    }

    fn take(&self) -> Result<(), RateLimited> {
        let inner = &self.inner;
        inner.limiter.check().map_err(|until| {
            let retry_after = until.wait_time_from(inner.clock.now());
            RateLimited { name: inner.name.clone(), retry_after }
        })
    }

    /// What a call hears that comes behind so many.
    fn limited(&self, ahead: u32) -> RateLimited {
        let inner = &self.inner;
        let first = inner.queue.first_goes_in(inner.clock.now());
        let retry_after = first.saturating_add(inner.interval.saturating_mul(ahead));
        RateLimited { name: inner.name.clone(), retry_after }
    }

    pub(crate) fn max_wait(&self) -> Duration {
        self.inner.max_wait
    }

    /// Makes the call, if the rate allows.
    ///
    /// # Errors
    /// [`RateLimitError::Limited`] without a call, or the call's own error.
    pub async fn call<T, E, F>(&self, op: F) -> Result<T, RateLimitError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        self.acquire().await.map_err(RateLimitError::limited)?;
        op().await.map_err(RateLimitError::inner)
    }

    /// A tower layer that holds every request to the rate.
    #[must_use]
    pub fn layer(&self) -> RateLimitLayer {
        RateLimitLayer::new(self.clone())
    }
}

impl RateLimitBuilder {
    /// Takes all fields from a configuration.
    pub fn config(mut self, config: RateLimitConfig) -> Self {
        self.config = config;
        self
    }

    /// So many calls a second.
    pub fn per_second(self, calls: u32) -> Self {
        self.per(Duration::from_secs(1), calls)
    }

    /// So many calls in any other period.
    pub fn per(mut self, period: Duration, calls: u32) -> Self {
        self.config.period = period;
        self.config.calls = calls;
        self
    }

    /// Calls that may come at once.
    pub fn burst(mut self, calls: u32) -> Self {
        self.config.burst = Some(calls);
        self
    }

    /// How long a call waits until it conforms.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = wait;
        self
    }

    /// Calls that wait at once, at most.
    pub fn max_queue(mut self, calls: u32) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// The finished rate limit.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<RateLimit, ConfigError> {
        let quota = self.config.quota()?;
        let clock = TokioClock::new();
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let (interval, queue) = (quota.replenish_interval(), Queue::new(self.config.max_queue));
        let inner = Inner { name: self.name, max_wait: self.config.max_wait, interval, queue, limiter, clock };
        Ok(RateLimit { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("name", self.name()).finish_non_exhaustive()
    }
}
