//! Sends a dependency no more than it shows that it can take.

mod config;
mod error;
mod future;
mod layer;
mod permit;
mod snapshot;
mod window;

use std::{sync::Arc, time::Duration};

pub use config::AdaptiveThrottleConfig;
pub use error::{AdaptiveThrottleError, LocallyThrottled};
pub use future::AdaptiveThrottleFuture;
pub use layer::{AdaptiveThrottleLayer, AdaptiveThrottleService};
pub use permit::ThrottlePermit;
pub use snapshot::ThrottleSnapshot;
use window::Window;

use crate::{
    Name,
    classify::{Classify, Standard},
    clock::Clock,
    config::ConfigError,
    random::Dice,
};

/// Holds back, by lot, requests that the dependency would refuse. Clones share the counts.
#[doc = include_str!("../docs/adaptive_throttle.md")]
#[derive(Debug, Clone)]
pub struct AdaptiveThrottle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Name,
    config: AdaptiveThrottleConfig,
    window: Window,
    clock: Clock,
    dice: Dice,
}

/// Builds an [`AdaptiveThrottle`]; the plain setters set the field of [`AdaptiveThrottleConfig`] of the same name.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct AdaptiveThrottleBuilder {
    name: Name,
    config: AdaptiveThrottleConfig,
    seed: Option<u64>,
}

impl AdaptiveThrottle {
    /// Begins a throttle with the defaults of [`AdaptiveThrottleConfig`].
    pub fn builder(name: impl Into<Name>) -> AdaptiveThrottleBuilder {
        AdaptiveThrottleBuilder { name: name.into(), config: AdaptiveThrottleConfig::default(), seed: None }
    }

    /// A throttle from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(name: impl Into<Name>, config: AdaptiveThrottleConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// The window at this moment.
    #[must_use]
    pub fn snapshot(&self) -> ThrottleSnapshot {
        let (requests, accepts) = self.inner.window.totals(self.inner.clock.now());
        let rejection_rate = self.inner.rejection_rate(requests, accepts);
        ThrottleSnapshot { name: self.inner.name.clone(), requests, accepts, rejection_rate }
    }

    /// Asks for leave to send one request. Never waits.
    ///
    /// # Errors
    /// [`LocallyThrottled`]
    pub fn try_acquire(&self) -> Result<ThrottlePermit, LocallyThrottled> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let (requests, accepts) = inner.window.totals(now);
        let rate = inner.rejection_rate(requests, accepts);
        if rate > 0.0 && inner.dice.unit() < rate {
            inner.window.count(now, false);
            tracing::debug!(throttle = %inner.name, requests, accepts, rate, "held a call back");
            return Err(LocallyThrottled { name: inner.name.clone() });
        }
        Ok(ThrottlePermit::new(Arc::clone(inner)))
    }

    /// Makes the call, unless it is held back.
    ///
    /// Dropping the future counts for nothing.
    ///
    /// # Errors
    /// [`AdaptiveThrottleError::Throttled`] without a call, or the call's own error.
    pub async fn call<T, E, F>(&self, op: F) -> Result<T, AdaptiveThrottleError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own.
    ///
    /// # Errors
    /// [`AdaptiveThrottleError::Throttled`] without a call, or the call's own error.
    pub async fn call_with<C, T, E, F>(&self, classifier: &C, op: F) -> Result<T, AdaptiveThrottleError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let permit = self.try_acquire().map_err(AdaptiveThrottleError::throttled)?;
        let result = op().await;
        permit.settle(classifier.judge(&result));
        result.map_err(AdaptiveThrottleError::inner)
    }

    /// A tower layer that holds requests back.
    #[must_use]
    pub fn layer(&self) -> AdaptiveThrottleLayer {
        AdaptiveThrottleLayer::new(self.clone())
    }
}

impl Inner {
    /// max(0, (requests - K * accepts) / (requests + 1)), from "Handling Overload" in Google's SRE book.
    fn rejection_rate(&self, requests: u64, accepts: u64) -> f64 {
        if requests < u64::from(self.config.minimum_throughput) {
            return 0.0;
        }
        let (requests, accepts) = (requests as f64, accepts as f64);
        let rate = (requests - self.config.multiplier * accepts) / (requests + 1.0);
        rate.clamp(0.0, self.config.max_rejection_rate)
    }
}

impl AdaptiveThrottleBuilder {
    /// Takes all fields from a configuration.
    pub fn config(mut self, config: AdaptiveThrottleConfig) -> Self {
        self.config = config;
        self
    }

    /// Requests that are let through for each that the dependency accepts.
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.config.multiplier = multiplier;
        self
    }

    /// How far back requests are counted.
    pub fn sampling_window(mut self, window: Duration) -> Self {
        self.config.sampling_window = window;
        self
    }

    /// How many requests the window must hold before any is held back.
    pub fn minimum_throughput(mut self, requests: u32) -> Self {
        self.config.minimum_throughput = requests;
        self
    }

    /// The largest share of requests that is held back.
    pub fn max_rejection_rate(mut self, share: f64) -> Self {
        self.config.max_rejection_rate = share;
        self
    }

    /// Makes the lots repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The finished throttle.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<AdaptiveThrottle, ConfigError> {
        let Self { name, config, seed } = self;
        config.validate()?;
        let window = Window::new(config.sampling_window);
        let inner = Inner { name, config, window, clock: Clock::new(), dice: Dice::new(seed) };
        Ok(AdaptiveThrottle { inner: Arc::new(inner) })
    }
}
