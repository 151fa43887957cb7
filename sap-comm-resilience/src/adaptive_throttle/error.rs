use crate::{
    Name,
    classify::{Outcome, OwnError, View, note},
};

/// The dependency accepts too few requests, and this one was chosen by lot not to be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("adaptive throttle {name} held the call back")]
#[non_exhaustive]
pub struct LocallyThrottled {
    /// The adaptive throttle.
    pub name: Name,
}

/// What a call under an adaptive throttle fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdaptiveThrottleError<E> {
    /// The call was not made.
    #[error("the call was not made")]
    Throttled(#[source] LocallyThrottled),
    /// The call was made and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E: 'static> AdaptiveThrottleError<E> {
    pub(crate) fn throttled(throttled: LocallyThrottled) -> Self {
        note::<Self>();
        Self::Throttled(throttled)
    }

    pub(crate) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for AdaptiveThrottleError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Throttled(_) => View::Own(Outcome::Rejected),
            Self::Inner(error) => View::Inner(error),
        }
    }
}
