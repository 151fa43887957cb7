//! Makes a slow call a second time and takes whichever answers first.

mod config;
mod future;
mod layer;
mod race;

use std::{fmt, future::Future, sync::Arc, time::Duration};

pub use config::HedgeConfig;
pub use future::HedgeFuture;
pub use layer::{HedgeLayer, HedgeService};
use race::Hedged;
pub(crate) use race::{Race, Spares};

use crate::{
    HttpReplay, HttpStatus, RetryBudget,
    classify::{Classify, Outcome, Standard},
    config::ConfigError,
    numbering::Numbering,
    scoped::Scoped,
};

/// A second call when the first takes long, for idempotent calls. Clones share one budget.
#[doc = include_str!("../docs/hedge.md")]
#[derive(Clone)]
pub struct Hedge {
    inner: Arc<Inner>,
}

struct Inner {
    config: HedgeConfig,
    budget: RetryBudget,
}

/// Builds a [`Hedge`]; every method sets the field of [`HedgeConfig`] of the same name.
#[derive(Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct HedgeBuilder {
    config: HedgeConfig,
}

impl Hedge {
    /// Begins a hedge with the defaults of [`HedgeConfig`].
    pub fn builder() -> HedgeBuilder {
        HedgeBuilder::default()
    }

    /// A hedge from a configuration.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn from_config(config: HedgeConfig) -> Result<Self, ConfigError> {
        Self::builder().config(config).build()
    }

    /// Makes the call, and makes it again if it takes long. Only for calls that may be made twice.
    ///
    /// Whichever loses is dropped; dropping the future drops all. Past the deadline of the
    /// [`Context`](sap_comm_core::Context) no copy is made. The context of a copy carries its number.
    ///
    /// # Errors
    /// The first call's error, when all fail.
    pub async fn call<T, E, F, Fut>(&self, op: F) -> Result<T, E>
    where
        E: 'static,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_with(Standard, op).await
    }

    /// The same, with a classifier of your own: only a success or an ignored result ends the race early.
    ///
    /// # Errors
    /// The first call's error, when all fail.
    pub async fn call_with<C, T, E, F, Fut>(&self, classifier: C, op: F) -> Result<T, E>
    where
        C: Classify<T, E>,
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut again = Again { op, classifier, numbering: Numbering::default() };
        let first = again.send();
        Hedged::new(self.clone(), first, again).await
    }

    /// A tower layer that hedges the requests that `replay` can copy.
    #[must_use]
    pub fn layer<P>(&self, replay: P) -> HedgeLayer<P> {
        HedgeLayer::new(self.clone(), replay, Standard)
    }

    /// A tower layer for HTTP: hedges idempotent requests with small bodies.
    ///
    /// One with a [`ReplayBody`](crate::ReplayBody) is hedged only once all of its body was sent and kept.
    #[must_use]
    pub fn http_layer(&self) -> HedgeLayer<HttpReplay, HttpStatus> {
        HedgeLayer::new(self.clone(), HttpReplay::default(), HttpStatus)
    }
}

struct Again<F, C> {
    op: F,
    classifier: C,
    numbering: Numbering,
}

impl<F: FnMut() -> Fut, Fut, C> Again<F, C> {
    fn send(&mut self) -> Scoped<Fut> {
        Scoped::begin(self.numbering.next(), &mut self.op)
    }
}

impl<F, Fut, C, T, E> Spares<Fut> for Again<F, C>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    fn has_spare(&self) -> bool {
        true
    }

    fn spare(&mut self) -> Option<Scoped<Fut>> {
        Some(self.send())
    }

    fn judge(&self, result: &Result<T, E>) -> Outcome {
        self.classifier.judge(result)
    }
}

impl Hedge {
    /// How long the call before may take until another is made.
    pub(crate) fn delay(&self) -> Duration {
        self.inner.config.delay
    }
}

impl HedgeBuilder {
    /// Takes all fields from a configuration.
    pub fn config(mut self, config: HedgeConfig) -> Self {
        self.config = config;
        self
    }

    /// How long the call before may take until another is made.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.config.delay = delay;
        self
    }

    /// Extra calls at most.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.config.max_hedges = hedges;
        self
    }

    /// Extra calls at most, as a share of all calls.
    pub fn budget(mut self, share: f64) -> Self {
        self.config.budget = share;
        self
    }

    /// The finished hedge.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn build(self) -> Result<Hedge, ConfigError> {
        self.config.validate()?;
        // No share means no hedges, not even now and then.
        let budget = RetryBudget::new(self.config.budget, u32::from(self.config.budget > 0.0))?;
        Ok(Hedge { inner: Arc::new(Inner { config: self.config, budget }) })
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
