//! Sees through this crate's own error wrappers, whatever error type a caller nests in them.
//!
//! The wrappers are generic (`BreakerError<E>`), so a value of unknown type cannot be matched against them. Each wrapper
//! therefore notes how to look inside it when it is first made, which is before anybody can classify it.

use std::{
    any::{Any, TypeId},
    cell::Cell,
    collections::HashMap,
    error::Error,
};

use parking_lot::RwLock;

use super::Outcome;
use crate::{BulkheadFull, ConcurrencyLimited, Elapsed, LocallyThrottled, RateLimited, Rejected};

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

/// Bounded by the number of error types in the program.
static KNOWN: RwLock<Option<HashMap<TypeId, Look>>> = RwLock::new(None);

thread_local! {
    static LAST: Cell<TypeId> = const { Cell::new(TypeId::of::<()>()) };
}

/// Makes `W` known; costs one comparison when it was noted last.
#[inline]
pub(crate) fn note<W: OwnError>() {
    if LAST.get() != TypeId::of::<W>() {
        learn::<W>();
    }
}

#[cold]
fn learn<W: OwnError>() {
    let id = TypeId::of::<W>();
    let known = KNOWN.read().as_ref().is_some_and(|known| known.contains_key(&id));
    if !known {
        let look: Look = |error| error.downcast_ref::<W>().map(OwnError::view);
        KNOWN.write().get_or_insert_default().insert(id, look);
    }
    LAST.set(id);
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
#[cold]
pub(crate) fn own_outcome<E: 'static>(error: &E) -> Option<Outcome> {
    layers(error).find_map(|view| match view {
        View::Own(outcome) => Some(outcome),
        View::TimedOut => Some(Outcome::Failure),
        View::Inner(error) => is_rejection(error).then_some(Outcome::Rejected),
    })
}

/// Whether an attempt took too long for a timeout of ours.
pub(crate) fn is_timeout<E: 'static>(error: &E) -> bool {
    layers(error).any(|view| match view {
        View::TimedOut => true,
        View::Own(_) => false,
        View::Inner(error) => error.is::<Elapsed>() || causes(error).any(|cause| cause.is::<Elapsed>()),
    })
}

/// Of a `dyn Any` or a `dyn Error`.
macro_rules! is_any_of {
    ($error:expr, $($kind:ty),+) => { $($error.is::<$kind>())||+ };
}

fn is_rejection(error: &dyn Any) -> bool {
    is_any_of!(error, Rejected, BulkheadFull, RateLimited, ConcurrencyLimited, LocallyThrottled)
        || causes(error)
            .any(|cause| is_any_of!(cause, Rejected, BulkheadFull, RateLimited, ConcurrencyLimited, LocallyThrottled))
}

/// A boxed error and what it comes from.
fn causes(error: &dyn Any) -> impl Iterator<Item = &(dyn Error + 'static)> {
    fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    }
    let boxed = error.downcast_ref::<Box<dyn Error + Send + Sync>>();
    std::iter::successors(boxed.map(|boxed| &**boxed as _), source)
}
