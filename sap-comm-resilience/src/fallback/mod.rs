//! Answers with something else when a call fails.

mod answer;
mod future;
mod layer;

use std::fmt;

pub use answer::{Answer, NoFallback};
pub use future::FallbackFuture;
pub use layer::{FallbackLayer, FallbackService};

use crate::classify::{Classify, Outcome, Standard};

/// What to answer when a call fails: a function from its error to another result.
#[doc = include_str!("../docs/fallback.md")]
#[derive(Clone)]
pub struct Fallback<F> {
    otherwise: F,
}

/// A function from a failed result to another one, inside a [`Fallback`].
#[derive(Clone)]
pub struct ForResults<F>(F);

impl<F> Fallback<F> {
    /// Answers errors with `otherwise`. An `Ok` stands, whatever a classifier says of it.
    #[must_use]
    pub fn new(otherwise: F) -> Self {
        Self { otherwise }
    }

    /// Makes the call; when it fails, answers otherwise.
    ///
    /// Dropping the future drops whichever is under way. A panic of the other answer is the caller's.
    ///
    /// # Errors
    /// The error of the other answer, or an ignored error of the call.
    pub async fn call<T, E, Op>(&self, op: Op) -> Result<T, E>
    where
        E: 'static,
        Op: AsyncFnOnce() -> Result<T, E>,
        Self: Answer<T, E>,
    {
        self.call_with(&Standard, op).await
    }

    /// The same, with a classifier of your own.
    ///
    /// # Errors
    /// The error of the other answer, or an ignored error of the call.
    pub async fn call_with<C, T, E, Op>(&self, classifier: &C, op: Op) -> Result<T, E>
    where
        C: Classify<T, E>,
        Op: AsyncFnOnce() -> Result<T, E>,
        Self: Answer<T, E>,
    {
        let result = op().await;
        if stands(classifier.judge(&result)) {
            return result;
        }
        match self.otherwise(result) {
            Ok(answer) => answer.await,
            Err(result) => result,
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

impl<F> Fallback<ForResults<F>> {
    /// Answers failed results with `otherwise`: errors, and every `Ok` that the classifier calls a failure, such as a
    /// response with status 502.
    #[must_use]
    pub fn for_results(otherwise: F) -> Self {
        Self { otherwise: ForResults(otherwise) }
    }
}

/// Whether a result like this needs no other answer.
pub(crate) fn stands(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Success | Outcome::Ignored)
}

impl<F> fmt::Debug for Fallback<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for ForResults<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForResults")
    }
}
