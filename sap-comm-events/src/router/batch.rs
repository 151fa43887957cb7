//! Handlers of several events at once.

use std::{future::Future, marker::PhantomData, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sap_comm_core::{DecodeError, Event, EventPayload, RawEvent};

use super::{Outcome, version::decode};

/// How many events a batch has, and how long it waits for them.
///
/// ```
/// use std::time::Duration;
/// use sap_comm_events::Batching;
///
/// let batching = Batching::of(500).linger(Duration::from_millis(20));
/// # let _ = batching;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    pub(crate) size: usize,
    pub(crate) linger: Duration,
}

/// The default of `linger`: short enough to go unseen, long enough for what is under way to arrive.
const LINGER: Duration = Duration::from_millis(50);

impl Batching {
    /// Batches of `size` events at most, 1 to 65,535; a batch that is not full is handled 50 ms after its first event.
    #[must_use]
    pub const fn of(size: usize) -> Self {
        Self { size, linger: LINGER }
    }

    /// How long after its first event a batch is handled that is not full. Zero takes what is there.
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

/// What a handler says of a batch.
pub(crate) enum Outcomes {
    /// The same of every event.
    All(Outcome),
    /// Of each event, in the order of the batch.
    Each(Vec<Outcome>),
}

/// A batch on its way to its handler.
pub(crate) struct BatchRoute {
    /// Which events are in the batch, and why others are not.
    pub(crate) fits: Vec<Result<(), DecodeError>>,
    /// What the handler will say; none when no event fits.
    pub(crate) answer: Option<BoxFuture<'static, Outcomes>>,
}

/// A handler of raw batches.
pub(super) trait BatchHandler: Send + Sync {
    /// Decodes the events and starts the handler.
    fn call(&self, events: Vec<Result<RawEvent, DecodeError>>, lenient: bool) -> BatchRoute;
}

/// Decodes payloads `T` for a handler.
pub(super) struct TypedBatch<T, H> {
    handler: H,
    payload: PhantomData<fn(T)>,
}

impl<T, H> TypedBatch<T, H> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, payload: PhantomData }
    }
}

impl<T, H, F> BatchHandler for TypedBatch<T, H>
where
    T: EventPayload,
    H: Fn(Vec<Event<T>>) -> F + Send + Sync,
    F: Future<Output = Outcomes> + Send + 'static,
{
    fn call(&self, events: Vec<Result<RawEvent, DecodeError>>, lenient: bool) -> BatchRoute {
        let mut batch = Vec::with_capacity(events.len());
        let mut fit = |event: Result<RawEvent, DecodeError>| {
            batch.push(decode::<T>(event?, lenient)?);
            Ok(())
        };
        let fits = events.into_iter().map(&mut fit).collect();
        let answer = (!batch.is_empty()).then(|| (self.handler)(batch).boxed());
        BatchRoute { fits, answer }
    }
}
