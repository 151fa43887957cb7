//! Stops calling what does not answer, and finds out when it does again.

mod builder;
mod call;
mod config;
mod consecutive;
mod engine;
mod error;
mod event;
#[cfg(feature = "failsafe")]
mod failsafe;
mod future;
mod layer;
#[cfg(all(test, loom))]
mod models;
mod opossum;
mod pass;
mod permit;
mod policy;
mod probes;
mod ramp;
mod registry;
mod snapshot;
mod state;
mod transition;
mod tuning;
pub(crate) mod window;

use std::{fmt, future::Future, sync::Arc};

pub use builder::CircuitBreakerBuilder;
pub use config::{CircuitBreakerConfig, Comparison};
pub use error::{BreakerError, Rejected};
pub use event::{Cause, Events, Transition};
#[cfg(feature = "failsafe")]
pub use failsafe::{FailsafePolicy, WindowPolicy};
pub use future::BreakerFuture;
pub use layer::{BreakerLayer, BreakerService};
pub use opossum::OpossumBuilder;
pub use permit::{OwnedPermit, Permit};
pub use policy::TripPolicy;
pub use registry::BreakerRegistry;
pub use snapshot::Snapshot;
pub use state::State;
pub use tuning::TripReason;

use crate::{
    Name,
    classify::{Classify, Standard},
    config::ConfigError,
};
use call::Call;
use engine::Engine;
use state::Phase;

/// A circuit breaker. Clones share one state.
#[doc = include_str!("../docs/circuit_breaker.md")]
#[derive(Clone)]
pub struct CircuitBreaker {
    engine: Arc<Engine>,
}

impl CircuitBreaker {
    /// Begins a breaker with the defaults of [`CircuitBreakerConfig`].
    pub fn builder(name: impl Into<Name>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    /// Begins a breaker that behaves like opossum's, for teams that port from it.
    pub fn opossum(name: impl Into<Name>) -> OpossumBuilder {
        OpossumBuilder::new(name.into())
    }

    /// A breaker from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(name: impl Into<Name>, config: CircuitBreakerConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.engine.name
    }

    /// Makes a call, if the breaker lets it through. `Ok` is success, `Err` failure.
    ///
    /// Dropping the future counts for nothing; a panic inside counts as a failure.
    ///
    /// # Errors
    /// [`BreakerError::Open`] without a call, or the call's own error.
    #[inline]
    pub fn call<T, E, F>(&self, op: F) -> impl Future<Output = Result<T, BreakerError<E>>>
    where
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        self.call_with(&Standard, op)
    }

    /// The same, with a classifier of your own.
    ///
    /// # Errors
    /// [`BreakerError::Open`] without a call, or the call's own error.
    #[inline]
    pub fn call_with<C, T, E, F>(&self, classifier: &C, op: F) -> impl Future<Output = Result<T, BreakerError<E>>>
    where
        C: Classify<T, E>,
        E: 'static,
        F: AsyncFnOnce() -> Result<T, E>,
    {
        Call::new(&self.engine, classifier, move || op())
    }

    /// Asks for leave to make one call. Never waits.
    ///
    /// # Errors
    /// [`Rejected`], with the time after which a call has a chance again.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        Permit::admit(&self.engine)
    }

    /// The same, with a permit that owns the breaker.
    ///
    /// # Errors
    /// [`Rejected`], with the time after which a call has a chance again.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejected> {
        OwnedPermit::admit(&self.engine)
    }

    /// A tower layer that sends every request through this breaker.
    #[must_use]
    pub fn layer(&self) -> BreakerLayer {
        BreakerLayer::new(self.clone())
    }

    /// What it does with calls. An open breaker becomes half-open with the first call after the reset timeout.
    #[must_use]
    pub fn state(&self) -> State {
        self.engine.state()
    }

    /// State and window at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.engine.snapshot()
    }

    /// The transitions from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.engine.announcer.subscribe()
    }

    /// Rejects every call until [`close`](Self::close).
    pub fn isolate(&self) {
        self.engine.force(Phase::Isolated);
    }

    /// Closes at once, with an empty window. While closed it only empties the window: nobody is told.
    pub fn close(&self) {
        self.engine.force(Phase::Closed);
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> CircuitBreakerConfig {
        self.engine.cold.lock().config.clone()
    }

    /// Changes the configuration and keeps state and window.
    ///
    /// With another `sampling_window`, what was counted counts as just happened, and calls in flight count for nothing;
    /// probes still count. A window of calls stays as it is.
    ///
    /// # Errors
    /// An invalid field, or one that only a new breaker can have: `sampling_buckets`, `sampling_calls`.
    pub fn reload(&self, config: CircuitBreakerConfig) -> Result<(), ConfigError> {
        self.engine.reload(config)
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", self.name()).field("state", &self.state()).finish()
    }
}
