//! Bounds how many calls to one dependency run at once, by how quickly it answers.

mod builder;
mod config;
mod error;
mod future;
mod gradient;
mod layer;
mod permit;
mod slots;
mod snapshot;
mod window;

use std::sync::{Arc, atomic::Ordering};

pub use builder::AdaptiveConcurrencyBuilder;
pub use config::AdaptiveConcurrencyConfig;
pub use error::{AdaptiveConcurrencyError, ConcurrencyLimited};
pub use future::AdaptiveConcurrencyFuture;
pub use layer::{AdaptiveConcurrencyLayer, AdaptiveConcurrencyService};
pub use permit::ConcurrencyPermit;
use slots::Slots;
pub use snapshot::ConcurrencySnapshot;

use crate::{
    Name,
    classify::{Classify, Outcome, Standard, is_timeout},
    config::ConfigError,
};

/// A bound on the calls in flight that follows the latency of the dependency. Clones share it.
#[doc = include_str!("../docs/adaptive_concurrency.md")]
#[derive(Debug, Clone)]
pub struct AdaptiveConcurrency {
    slots: Arc<Slots>,
}

impl AdaptiveConcurrency {
    /// Begins a limit with the defaults of [`AdaptiveConcurrencyConfig`].
    pub fn builder(name: impl Into<Name>) -> AdaptiveConcurrencyBuilder {
        AdaptiveConcurrencyBuilder::new(name.into())
    }

    /// A limit from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(name: impl Into<Name>, config: AdaptiveConcurrencyConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.slots.name
    }

    /// Calls in flight that it allows at this moment.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.slots.state.lock().limit()
    }

    /// Limit, load and latency at this moment.
    #[must_use]
    pub fn snapshot(&self) -> ConcurrencySnapshot {
        let slots = &self.slots;
        let state = slots.state.lock();
        ConcurrencySnapshot {
            name: slots.name.clone(),
            limit: state.limit(),
            in_flight: slots.in_flight.load(Ordering::Acquire),
            queued: slots.queued.load(Ordering::Acquire),
            baseline: state.baseline(),
            latency: state.latency(),
        }
    }

    /// Takes a slot if one is free.
    ///
    /// # Errors
    /// [`ConcurrencyLimited`]
    pub fn try_acquire(&self) -> Result<ConcurrencyPermit, ConcurrencyLimited> {
        self.slots.try_take()?;
        Ok(ConcurrencyPermit::new(Arc::clone(&self.slots)))
    }

    /// Waits for a slot, in order. Cancel safe: a dropped wait leaves the queue.
    ///
    /// # Errors
    /// [`ConcurrencyLimited`] when the queue is full or the wait too long.
    pub async fn acquire(&self) -> Result<ConcurrencyPermit, ConcurrencyLimited> {
        self.slots.take().await?;
        Ok(ConcurrencyPermit::new(Arc::clone(&self.slots)))
    }

    /// Makes the call in a slot, and learns from how long it takes.
    ///
    /// Dropping the future frees the slot and counts for nothing.
    ///
    /// # Errors
    /// [`AdaptiveConcurrencyError::Limited`] without a call, or the call's own error.
    pub async fn call<T, E, F>(&self, op: F) -> Result<T, AdaptiveConcurrencyError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own.
    ///
    /// # Errors
    /// [`AdaptiveConcurrencyError::Limited`] without a call, or the call's own error.
    pub async fn call_with<C, T, E, F>(&self, classifier: &C, op: F) -> Result<T, AdaptiveConcurrencyError<E>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let permit = self.acquire().await.map_err(AdaptiveConcurrencyError::limited)?;
        let result = op().await;
        permit.settle(self.judge(classifier.judge(&result), result.as_ref().err()));
        result.map_err(AdaptiveConcurrencyError::inner)
    }

    /// A tower layer that takes a slot for every request in flight, and none while idle.
    #[must_use]
    pub fn layer(&self) -> AdaptiveConcurrencyLayer {
        AdaptiveConcurrencyLayer::new(self.clone())
    }

    pub(crate) fn max_queue(&self) -> u32 {
        self.slots.config.max_queue
    }

    /// What a call that was classified as `outcome` says about load.
    pub(crate) fn judge<E: 'static>(&self, outcome: Outcome, error: Option<&E>) -> Outcome {
        match self.slots.rules.refine(outcome, error) {
            Outcome::Failure if error.is_some_and(is_timeout) => Outcome::Throttled(None),
            outcome => outcome,
        }
    }
}
