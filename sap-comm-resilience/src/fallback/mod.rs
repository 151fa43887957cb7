//! Answers with something else when a call fails.

mod future;
mod layer;

use std::{fmt, future::Future};

pub use future::FallbackFuture;
pub use layer::{FallbackLayer, FallbackService};

use crate::classify::{Classify, Outcome, Standard};

/// What to answer when a call fails: a function from its error to another result.
#[doc = include_str!("../docs/fallback.md")]
#[derive(Clone)]
pub struct Fallback<F> {
    otherwise: F,
}

impl<F> Fallback<F> {
    /// Answers with `otherwise`.
    #[must_use]
    pub fn new(otherwise: F) -> Self {
        Self { otherwise }
    }

    /// Makes the call; when it fails, answers otherwise.
    ///
    /// # Errors
    /// The error of the other answer, or an ignored error of the call.
    pub async fn call<T, E, Op, Fut>(&self, op: Op) -> Result<T, E>
    where
        E: 'static,
        Op: AsyncFnOnce() -> Result<T, E>,
        F: Fn(E) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own for the errors.
    ///
    /// # Errors
    /// The error of the other answer, or an ignored error of the call.
    pub async fn call_with<C, T, E, Op, Fut>(&self, classifier: &C, op: Op) -> Result<T, E>
    where
        C: Classify<T, E>,
        Op: AsyncFnOnce() -> Result<T, E>,
        F: Fn(E) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let result = op().await;
        let stands = stands(classifier, &result);
        match result {
            Err(error) if !stands => (self.otherwise)(error).await,
            result => result,
        }
    }

    /// A tower layer that answers for the failed requests of a service.
    #[must_use]
    pub fn layer(&self) -> FallbackLayer<F>
    where
        F: Clone,
    {
        FallbackLayer::new(self.clone(), Standard)
    }
}

/// Whether a result needs no other answer.
fn stands<C: Classify<T, E>, T, E>(classifier: &C, result: &Result<T, E>) -> bool {
    result.is_ok() || matches!(classifier.classify(result), Outcome::Success | Outcome::Ignored)
}

impl<F> fmt::Debug for Fallback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}
