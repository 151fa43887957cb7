use std::time::Duration;

use crate::{
    Name,
    classify::{Outcome, OwnError, View, note},
};

/// The breaker let no call through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker {name} is open; retry after {}", humantime::format_duration(self.retry_after()))]
#[non_exhaustive]
pub struct Rejected {
    /// The breaker.
    pub name: Name,
    /// Nanoseconds: whoever drops a rejection unread need not pay for a division.
    pub(super) after: u64,
}

impl Rejected {
    /// When a call has a chance again.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_nanos(self.after)
    }
}

/// What a call through a breaker fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError<E> {
    /// The breaker let no call through.
    #[error("the call was not made")]
    Open(#[source] Rejected),
    /// The call went through and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> BreakerError<E> {
    /// Takes a closure, since what is made after the note is made in its place.
    #[inline]
    pub(crate) fn open(rejected: impl FnOnce() -> Rejected) -> Self {
        note::<Self>();
        Self::Open(rejected())
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E> BreakerError<E> {
    /// The call's own error, if it went through.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::Open(_) => None,
        }
    }

    /// The rejection, if the call did not go through.
    pub fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Open(rejected) => Some(rejected),
            Self::Inner(_) => None,
        }
    }
}

impl<E: 'static> OwnError for BreakerError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Open(_) => View::Own(Outcome::Rejected),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
