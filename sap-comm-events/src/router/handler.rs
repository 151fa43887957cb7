//! Handlers without their types.

use std::{future::Future, marker::PhantomData};

use futures_util::{FutureExt, future::BoxFuture};
use sap_comm_core::{DecodeError, Event, EventPayload, RawEvent};

use super::{HandlerError, Outcome, request::Reply, version::decode};

/// What a handler will say about an event.
pub(crate) type Answer = BoxFuture<'static, Handled>;

/// What a handler said.
pub(crate) enum Handled {
    /// What becomes of the event.
    Settled(Outcome),
    /// The answer to a request.
    Answered(Reply),
}

/// A handler of raw events.
pub(super) trait Handler: Send + Sync {
    /// Decodes the event, of whatever version if `lenient`, and starts the handler.
    fn call(&self, event: RawEvent, lenient: bool) -> Result<Answer, DecodeError>;
}

/// Decodes payload `T` for a handler.
pub(super) struct Typed<T, H> {
    handler: H,
    payload: PhantomData<fn(T)>,
}

impl<T, H> Typed<T, H> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, payload: PhantomData }
    }
}

impl<T, H, F> Handler for Typed<T, H>
where
    T: EventPayload,
    H: Fn(Event<T>) -> F + Send + Sync,
    F: Future<Output = Outcome> + Send + 'static,
{
    fn call(&self, event: RawEvent, lenient: bool) -> Result<Answer, DecodeError> {
        Ok((self.handler)(decode(event, lenient)?).map(Handled::Settled).boxed())
    }
}

/// Takes events as they are.
pub(super) struct Raw<H>(H);

impl<H> Raw<H> {
    pub(super) fn new(handler: H) -> Self {
        Self(handler)
    }
}

impl<H, F> Handler for Raw<H>
where
    H: Fn(RawEvent) -> F + Send + Sync,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn call(&self, event: RawEvent, _lenient: bool) -> Result<Answer, DecodeError> {
        Ok((self.0)(event).map(|handled| Handled::Settled(handled.into())).boxed())
    }
}
