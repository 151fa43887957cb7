use std::time::Duration;

use crate::{
    BulkheadFull, ConcurrencyLimited, DeadlineExceeded, Elapsed, LocallyThrottled, RateLimited, Rejected,
    classify::{Outcome, OwnError, View, note},
};

/// What a call through a pipeline fails with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError<E> {
    /// The circuit breaker let no call through.
    #[error("the call was not made")]
    Open(#[source] Rejected),
    /// The bulkhead let no call in.
    #[error("the call was not made")]
    Full(#[source] BulkheadFull),
    /// The rate limit let no call through.
    #[error("the call was not made")]
    Limited(#[source] RateLimited),
    /// The adaptive throttle held the call back.
    #[error("the call was not made")]
    Throttled(#[source] LocallyThrottled),
    /// The adaptive concurrency limit is reached.
    #[error("the call was not made")]
    Saturated(#[source] ConcurrencyLimited),
    /// The timeout is over.
    #[error("the call was dropped")]
    TimedOut(#[source] Elapsed),
    /// The deadline has passed.
    #[error("the call was dropped")]
    DeadlineExceeded(#[source] DeadlineExceeded),
    /// The call was made and failed.
    #[error(transparent)]
    Inner(E),
}

impl<E> PipelineError<E> {
    /// The call's own error.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            _ => None,
        }
    }

    /// Whether a strategy refused the call before it was made.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Full(_) | Self::Limited(_) | Self::Throttled(_) | Self::Saturated(_))
    }

    /// When a rejected call has a chance again, if the strategy knows.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Open(rejected) => Some(rejected.retry_after()),
            Self::Limited(limited) => Some(limited.retry_after),
            Self::Saturated(limited) => limited.retry_after,
            _ => None,
        }
    }
}

impl<E: 'static> PipelineError<E> {
    pub(super) fn open(rejected: Rejected) -> Self {
        note::<Self>();
        Self::Open(rejected)
    }

    pub(super) fn full(full: BulkheadFull) -> Self {
        note::<Self>();
        Self::Full(full)
    }

    pub(super) fn limited(limited: RateLimited) -> Self {
        note::<Self>();
        Self::Limited(limited)
    }

    pub(super) fn throttled(throttled: LocallyThrottled) -> Self {
        note::<Self>();
        Self::Throttled(throttled)
    }

    pub(super) fn saturated(limited: ConcurrencyLimited) -> Self {
        note::<Self>();
        Self::Saturated(limited)
    }

    pub(super) fn timed_out(after: Duration) -> Self {
        note::<Self>();
        Self::TimedOut(Elapsed { after })
    }

    pub(super) fn deadline_exceeded() -> Self {
        note::<Self>();
        Self::DeadlineExceeded(DeadlineExceeded)
    }

    pub(super) fn inner(error: E) -> Self {
        note::<Self>();
        Self::Inner(error)
    }
}

impl<E: 'static> OwnError for PipelineError<E> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Inner(error) => View::Inner(error),
            Self::TimedOut(_) => View::TimedOut,
            Self::DeadlineExceeded(_) => View::Own(Outcome::Failure),
            Self::Open(_) | Self::Full(_) | Self::Limited(_) | Self::Throttled(_) | Self::Saturated(_) => {
                View::Own(Outcome::Rejected)
            }
        }
    }
}
