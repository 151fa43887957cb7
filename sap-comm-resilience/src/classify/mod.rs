//! What a result means to a strategy: success, failure, or neither.

mod own;
mod retry_after;
mod rules;
mod status;

use std::time::Duration;

pub use own::is_rejection;
pub(crate) use own::{OwnError, View, is_timeout, layers, note, own_outcome};
pub use retry_after::parse_retry_after;
pub(crate) use rules::ErrorRules;
pub use status::HttpStatus;

use crate::contain::contained;

/// What a result says about the dependency that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It does not work; counts against it, and may be retried.
    Failure,
    /// It says nothing about the dependency: the caller's own mistake.
    Ignored,
    /// It works and asks for less; may be retried, no sooner than it says.
    Throttled(Option<Duration>),
    /// A strategy of ours refused the call before it was made; neither counted nor retried.
    Rejected,
}

/// Tells what a result means.
///
/// Closures serve: `|result: &Result<User, Error>| Outcome::Success`. One that panics is contained: the panic is
/// logged, and the result counts as a failure.
pub trait Classify<T, E> {
    /// What `result` means.
    fn classify(&self, result: &Result<T, E>) -> Outcome;

    /// The same for the strategies of this crate, which survive a panic of [`classify`](Self::classify).
    fn judge(&self, result: &Result<T, E>) -> Outcome {
        contained("a classifier", || self.classify(result)).unwrap_or(Outcome::Failure)
    }
}

/// `Ok` is success, `Err` is failure, and what a strategy of this crate rejected is [`Outcome::Rejected`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standard;

impl<T, E: 'static> Classify<T, E> for Standard {
    #[inline]
    fn classify(&self, result: &Result<T, E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => own_outcome(error).unwrap_or(Outcome::Failure),
        }
    }

    // Without the net, which costs a success as much as all the rest; an error's code runs in one of its own.
    #[inline]
    fn judge(&self, result: &Result<T, E>) -> Outcome {
        self.classify(result)
    }
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(&Result<T, E>) -> Outcome,
{
    fn classify(&self, result: &Result<T, E>) -> Outcome {
        self(result)
    }
}
