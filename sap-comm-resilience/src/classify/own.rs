//! Sees through this crate's own error wrappers, whatever error type a caller nests in them.
//!
//! The wrappers are generic (`BreakerError<E>`), so a value of unknown type cannot be matched against them. Each wrapper
//! therefore notes how to look inside it when it is first made, which is before anybody can classify it.

use std::{
    any::{Any, TypeId},
    cell::Cell,
    collections::HashMap,
    error::Error,
    io, ptr,
};

use parking_lot::RwLock;

use super::Outcome;
use crate::{BulkheadFull, ConcurrencyLimited, Elapsed, LocallyThrottled, RateLimited, Rejected, contain::contained};

/// An error wrapper of this crate.
pub(crate) trait OwnError: Any {
    /// What is inside.
    fn view(&self) -> View<'_>;
}

/// What a wrapper holds: a strategy's own verdict, that the call took too long, or the call's error.
pub(crate) enum View<'a> {
    Own(Outcome),
    TimedOut,
    Inner(&'a dyn Any),
}

type Look = fn(&dyn Any) -> Option<View<'_>>;

/// How to look into one wrapper type.
struct Wrapper {
    id: TypeId,
    look: Look,
}

impl Wrapper {
    const fn of<W: OwnError>() -> &'static Self {
        const { &Self { id: TypeId::of::<W>(), look: |error| error.downcast_ref::<W>().map(OwnError::view) } }
    }
}

/// Bounded by the number of error types in the program.
static KNOWN: RwLock<Option<HashMap<TypeId, Look>>> = RwLock::new(None);

thread_local! {
    static LAST: Cell<Option<&'static Wrapper>> = const { Cell::new(None) };
}

/// Makes `W` known; costs one comparison of addresses when it was noted last.
///
/// Two types never share an address, since what is there differs. One type may have several, and is noted for each.
#[inline]
pub(crate) fn note<W: OwnError>() {
    let wrapper = Wrapper::of::<W>();
    if !LAST.get().is_some_and(|last| ptr::eq(last, wrapper)) {
        learn(wrapper);
    }
}

#[cold]
fn learn(wrapper: &'static Wrapper) {
    let known = KNOWN.read().as_ref().is_some_and(|known| known.contains_key(&wrapper.id));
    if !known {
        KNOWN.write().get_or_insert_default().insert(wrapper.id, wrapper.look);
    }
    LAST.set(Some(wrapper));
}

/// The layers of an error from the outside in: wrappers of ours, then the call's own error.
pub(crate) fn layers(error: &dyn Any) -> impl Iterator<Item = View<'_>> {
    let mut next = Some(View::Inner(error));
    std::iter::from_fn(move || {
        let view = next.take()?;
        if let View::Inner(error) = view {
            let look = KNOWN.read().as_ref().and_then(|known| known.get(&error.type_id()).copied());
            next = look.and_then(|look| look(error));
        }
        Some(view)
    })
}

/// What `error` means, if it is or wraps a verdict of ours.
///
/// Asking an error where it comes from runs its code, so that a panic there is contained.
#[cold]
pub(crate) fn own_outcome<E: 'static>(error: &E) -> Option<Outcome> {
    let verdict = || {
        layers(error).find_map(|view| match view {
            View::Own(outcome) => Some(outcome),
            View::TimedOut => Some(Outcome::Failure),
            View::Inner(error) => is_verdict(error).then_some(Outcome::Rejected),
        })
    };
    contained("an error that was asked for its source", verdict).flatten()
}

/// Whether an attempt took too long for a timeout of ours.
pub(crate) fn is_timeout<E: 'static>(error: &E) -> bool {
    let found = || {
        layers(error).any(|view| match view {
            View::TimedOut => true,
            View::Own(_) => false,
            View::Inner(error) => error.is::<Elapsed>() || causes(error).any(|cause| cause.is::<Elapsed>()),
        })
    };
    contained("an error that was asked for its source", found).unwrap_or(false)
}

/// Of a `dyn Any` or a `dyn Error`.
macro_rules! is_any_of {
    ($error:expr, $($kind:ty),+) => { $($error.is::<$kind>())||+ };
}

/// Whether `error`, or what it comes from, says that a strategy of this crate refused the call.
///
/// [`Standard`](crate::Standard) sees that by itself in the errors of this crate, in [`io::Error`] and in a
/// `Box<dyn Error + Send + Sync>`. A classifier for an error type of your own asks here, and answers
/// [`Outcome::Rejected`].
///
/// ```
/// use std::io;
/// use sap_comm_resilience::is_rejection;
///
/// assert!(!is_rejection(&io::Error::other("down")));
/// ```
#[must_use]
pub fn is_rejection(error: &(dyn Error + 'static)) -> bool {
    chain(Some(error))
        .any(|cause| is_any_of!(cause, Rejected, BulkheadFull, RateLimited, ConcurrencyLimited, LocallyThrottled))
}

fn is_verdict(error: &dyn Any) -> bool {
    is_any_of!(error, Rejected, BulkheadFull, RateLimited, ConcurrencyLimited, LocallyThrottled)
        || causes(error)
            .any(|cause| is_any_of!(cause, Rejected, BulkheadFull, RateLimited, ConcurrencyLimited, LocallyThrottled))
}

/// An error of a type that is known to be one, and what it comes from.
fn causes(error: &dyn Any) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let boxed = error.downcast_ref::<Box<dyn Error + Send + Sync>>().map(|boxed| &**boxed as _);
    chain(boxed.or_else(|| error.downcast_ref::<io::Error>().map(|error| error as _)))
}

fn chain<'a>(error: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        // The source of an `io::Error` is that of the error it holds, not that error itself.
        match error.downcast_ref::<io::Error>() {
            Some(holder) => holder.get_ref().map(|held| held as _),
            None => error.source(),
        }
    }
    std::iter::successors(error, cause)
}
