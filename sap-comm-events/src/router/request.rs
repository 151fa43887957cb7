//! Handlers that answer.

use std::{future::Future, marker::PhantomData};

use futures_util::FutureExt;
use sap_comm_core::{ApiError, BoxError, DecodeError, Event, RawEvent};
use serde_json::value::RawValue;

use super::{
    handler::{Answer, Handled, Handler},
    version::decode,
};
use crate::Request;

/// What a request is answered with: the JSON of its reply, or an error.
pub(crate) type Reply = Result<Box<RawValue>, ApiError>;

/// Decodes request `C` for a handler, and encodes its reply.
pub(super) struct Answering<C, H> {
    handler: H,
    command: PhantomData<fn(C)>,
}

impl<C, H> Answering<C, H> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, command: PhantomData }
    }
}

impl<C, H, F> Handler for Answering<C, H>
where
    C: Request,
    H: Fn(Event<C>) -> F + Send + Sync,
    F: Future<Output = Result<C::Reply, ApiError>> + Send + 'static,
{
    fn call(&self, event: RawEvent, lenient: bool) -> Result<Answer, DecodeError> {
        let answer = (self.handler)(decode(event, lenient)?);
        Ok(answer.map(|reply| Handled::Answered(reply.and_then(|reply| encode(&reply)))).boxed())
    }
}

fn encode(reply: &impl serde::Serialize) -> Reply {
    serde_json::value::to_raw_value(reply).map_err(|error| ApiError::internal(BoxError::from(error)))
}
