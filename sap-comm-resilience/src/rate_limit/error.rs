use std::time::Duration;

use crate::{
    Name,
    classify::{Outcome, OwnError, View, note},
};

/// The rate limit let no call through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rate limit {name} is exceeded; retry after {}", humantime::format_duration(*.retry_after))]
#[non_exhaustive]
pub struct RateLimited {
    /// The rate limit.
    pub name: Name,
    /// When the next call conforms.
    pub retry_after: Duration,
}

/// What a call under a rate limit fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError<E> {
    /// The call was not made.
    #[error("the call was not made")]
    Limited(#[source] RateLimited),
    /// The call was made and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> RateLimitError<E> {
    pub(crate) fn limited(limited: RateLimited) -> Self {
        note::<Self>();
        Self::Limited(limited)
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for RateLimitError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Limited(_) => View::Own(Outcome::Rejected),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
