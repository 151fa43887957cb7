//! Bounds how many calls to one dependency run at once.

mod config;
mod error;
mod future;
mod layer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

pub use config::BulkheadConfig;
pub use error::{BulkheadError, BulkheadFull};
pub use future::BulkheadFuture;
pub use layer::{BulkheadLayer, BulkheadService};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};

use crate::{Name, config::ConfigError};

/// A bound on the calls in flight, with a bounded queue before it. Clones share the slots.
#[doc = include_str!("../docs/bulkhead.md")]
#[derive(Debug, Clone)]
pub struct Bulkhead {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: Name,
    config: BulkheadConfig,
    slots: Arc<Semaphore>,
    queued: AtomicU32,
}

/// Builds a [`Bulkhead`]; every method sets the field of [`BulkheadConfig`] of the same name.
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct BulkheadBuilder {
    name: Name,
    config: BulkheadConfig,
}

/// A slot of a bulkhead, free again when dropped.
#[derive(Debug)]
#[must_use = "dropped at once, it bounds nothing"]
pub struct Slot<'a> {
    _slot: SemaphorePermit<'a>,
}

impl Bulkhead {
    /// Begins a bulkhead with the defaults of [`BulkheadConfig`].
    pub fn builder(name: impl Into<Name>) -> BulkheadBuilder {
        BulkheadBuilder { name: name.into(), config: BulkheadConfig::default() }
    }

    /// A bulkhead from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(name: impl Into<Name>, config: BulkheadConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.inner.name
    }

    /// Slots that are free at this moment.
    #[must_use]
    pub fn available(&self) -> usize {
        self.inner.slots.available_permits()
    }

    /// Calls that wait for a slot at this moment.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.inner.queued.load(Ordering::Acquire)
    }

    /// Waits for a slot, in order. Cancel safe: a dropped wait leaves the queue.
    ///
    /// # Errors
    /// [`BulkheadFull`] when the queue is full or the wait too long.
    pub async fn acquire(&self) -> Result<Slot<'_>, BulkheadFull> {
        match self.inner.slots.try_acquire() {
            Ok(slot) => Ok(Slot { _slot: slot }),
            Err(_) => self.queue(self.inner.slots.acquire()).await.map(|slot| Slot { _slot: slot }),
        }
    }

    /// Makes the call in a slot.
    ///
    /// # Errors
    /// [`BulkheadError::Full`] without a call, or the call's own error.
    pub async fn call<T, E, F>(&self, op: F) -> Result<T, BulkheadError<E>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let _slot = self.acquire().await.map_err(BulkheadError::full)?;
        op().await.map_err(BulkheadError::inner)
    }

    /// A tower layer that takes a slot for every request in flight, and none while idle.
    #[must_use]
    pub fn layer(&self) -> BulkheadLayer {
        BulkheadLayer::new(self.clone())
    }

    pub(crate) fn try_slot(&self) -> Option<Slot<'_>> {
        self.inner.slots.try_acquire().ok().map(|slot| Slot { _slot: slot })
    }

    pub(crate) fn try_acquire_owned(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.inner.slots).try_acquire_owned()
    }

    pub(crate) async fn acquire_owned(self) -> Result<OwnedSemaphorePermit, BulkheadFull> {
        self.queue(Arc::clone(&self.inner.slots).acquire_owned()).await
    }

    async fn queue<P>(&self, slot: impl Future<Output = Result<P, AcquireError>>) -> Result<P, BulkheadFull> {
        let place = Place::take(&self.inner.queued, self.inner.config.max_queue).ok_or_else(|| self.full())?;
        let slot = match self.inner.config.max_wait {
            Some(wait) => tokio::time::timeout(wait, slot).await.map_err(|_| self.full())?,
            None => slot.await,
        };
        drop(place);
        slot.map_err(|_| self.full())
    }

    pub(crate) fn max_queue(&self) -> u32 {
        self.inner.config.max_queue
    }

    pub(crate) fn full(&self) -> BulkheadFull {
        BulkheadFull { name: self.inner.name.clone() }
    }
}

/// A place in the queue.
pub(crate) struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    pub(crate) fn take(queued: &'a AtomicU32, bound: u32) -> Option<Self> {
        let more = |places: u32| (places < bound).then_some(places + 1);
        queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Self(queued))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl BulkheadBuilder {
    /// Takes all fields from a configuration.
    pub fn config(mut self, config: BulkheadConfig) -> Self {
        self.config = config;
        self
    }

    /// Calls in flight at once.
    pub fn max_concurrent(mut self, calls: u32) -> Self {
        self.config.max_concurrent = calls;
        self
    }

    /// Calls that wait for a slot.
    pub fn max_queue(mut self, calls: u32) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// How long a call waits for a slot.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = Some(wait);
        self
    }

    /// The finished bulkhead.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<Bulkhead, ConfigError> {
        self.config.validate()?;
        let slots = Arc::new(Semaphore::new(self.config.max_concurrent as usize));
        let inner = Inner { name: self.name, config: self.config, slots, queued: AtomicU32::new(0) };
        Ok(Bulkhead { inner: Arc::new(inner) })
    }
}
