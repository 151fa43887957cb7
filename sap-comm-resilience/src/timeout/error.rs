use std::time::Duration;

use crate::classify::{OwnError, View, note};

/// An attempt took too long and was dropped. What it had sent may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {}", humantime::format_duration(*.after))]
#[non_exhaustive]
pub struct Elapsed {
    /// The time that it had.
    pub after: Duration,
}

/// What a call under a timeout fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeoutError<E> {
    /// It took too long.
    #[error("the attempt was dropped")]
    Elapsed(#[source] Elapsed),
    /// It failed in time.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> TimeoutError<E> {
    pub(crate) fn elapsed(after: Duration) -> Self {
        note::<Self>();
        Self::Elapsed(Elapsed { after })
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for TimeoutError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Elapsed(_) => View::TimedOut,
            Self::Inner(error) => View::Inner(error),
        }
    }
}
