use crate::{
    Name,
    classify::{Outcome, OwnError, View, note},
};

/// The bulkhead let no call in: its slots are taken and its queue is full, or the wait was too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bulkhead {name} is full")]
#[non_exhaustive]
pub struct BulkheadFull {
    /// The bulkhead.
    pub name: Name,
}

/// What a call through a bulkhead fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkheadError<E> {
    /// The call was not made.
    #[error("the call was not made")]
    Full(#[source] BulkheadFull),
    /// The call was made and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> BulkheadError<E> {
    pub(crate) fn full(full: BulkheadFull) -> Self {
        note::<Self>();
        Self::Full(full)
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for BulkheadError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Full(_) => View::Own(Outcome::Rejected),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
