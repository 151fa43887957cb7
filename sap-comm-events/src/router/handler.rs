//! Handlers without their types.

use std::{future::Future, marker::PhantomData, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use sap_comm_core::{DecodeError, Event, EventPayload, Name, RawEvent};

use super::{HandlerError, Outcome, request::Reply, version::decode};
use crate::message::Message;

/// What a handler will say about an event.
pub(crate) type Answer = BoxFuture<'static, Handled>;

/// What a handler said.
pub(crate) enum Handled {
    /// What becomes of the event.
    Settled(Outcome),
    /// The answer to a request.
    Answered(Reply),
}

/// An event that was read for its handler, which has not begun.
pub(crate) struct Begun {
    pub(crate) answer: Answer,
    /// The event's own, where it is not that of its message.
    pub(crate) correlation_id: Option<Name>,
}

/// A handler of raw events.
pub(super) trait Handler: Send + Sync {
    /// Decodes the event, of whatever version if `lenient`, and starts the handler.
    fn call(&self, event: RawEvent, lenient: bool) -> Result<Answer, DecodeError>;

    /// Reads a message in one pass, if it is just what the handler takes. What that is, [`Handler::call`] says; this is only
    /// quicker.
    fn begin(self: Arc<Self>, _message: &Arc<Message>) -> Option<Begun> {
        None
    }
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
    H: Fn(Event<T>) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    fn call(&self, event: RawEvent, lenient: bool) -> Result<Answer, DecodeError> {
        Ok((self.handler)(decode(event, lenient)?).map(Handled::Settled).boxed())
    }

    fn begin(self: Arc<Self>, message: &Arc<Message>) -> Option<Begun> {
        // The handler may say something, or panic, before its future does.
        if let Some(event) = message.read::<T>() {
            let answer = async move { Handled::Settled((self.handler)(event()).await) };
            return Some(Begun { answer: answer.boxed(), correlation_id: None });
        }
        let event: Event<T> = Event::from_json_of_type(message.body())?;
        let own = message.correlation_id.as_ref() != Some(&event.correlation_id);
        let correlation_id = own.then(|| event.correlation_id.clone());
        let answer = async move { Handled::Settled((self.handler)(event).await) }.boxed();
        Some(Begun { answer, correlation_id })
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
