use std::time::Duration;

use crate::{
    Name,
    classify::{Outcome, OwnError, View, note},
};

/// As many calls are in flight as the dependency seems to stand, and the queue is full, or the wait was too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("adaptive concurrency limit {name} of {limit} calls is reached")]
#[non_exhaustive]
pub struct ConcurrencyLimited {
    /// The adaptive concurrency limit.
    pub name: Name,
    /// Calls in flight that it allowed.
    pub limit: u32,
    /// How long a call takes at the moment, if that is known: about then slots are free.
    pub retry_after: Option<Duration>,
}

/// What a call under an adaptive concurrency limit fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdaptiveConcurrencyError<E> {
    /// The call was not made.
    #[error("the call was not made")]
    Limited(#[source] ConcurrencyLimited),
    /// The call was made and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> AdaptiveConcurrencyError<E> {
    pub(crate) fn limited(limited: ConcurrencyLimited) -> Self {
        note::<Self>();
        Self::Limited(limited)
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for AdaptiveConcurrencyError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Limited(_) => View::Own(Outcome::Rejected),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
