use crate::classify::{Outcome, OwnError, View, note};

/// The whole call ran out of time. What it had sent may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline of the call has passed")]
#[non_exhaustive]
pub struct DeadlineExceeded;

/// What a call under a deadline fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeadlineError<E> {
    /// It ran out of time.
    #[error("the call was dropped")]
    Exceeded(#[source] DeadlineExceeded),
    /// It failed in time.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> DeadlineError<E> {
    pub(crate) fn exceeded() -> Self {
        note::<Self>();
        Self::Exceeded(DeadlineExceeded)
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for DeadlineError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Exceeded(_) => View::Own(Outcome::Failure),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
