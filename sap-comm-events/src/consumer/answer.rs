//! Answers to requests.

use bytes::Bytes;
use sap_comm_core::{ApiError, Context, ErrorCode, Event, Extensions, Metadata, Name, Timestamp, id};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    FailureCause, Handling,
    settle::{GoesBack, MAX_WAIT},
};
use crate::{
    PublishError,
    backend::Delivery,
    message::{Message, header},
    router::Reply,
    topology::Target,
};

/// Of answers, which are tied to their request and not to a type of their own.
const VERSION: &str = "1.0";

impl Handling {
    /// Sends the answer of a handler. Where nobody asked, an error is a failed attempt.
    pub(super) async fn answered(&self, delivery: &Delivery, reply: Reply) -> Result<(), GoesBack> {
        match (&delivery.message.reply_to, reply) {
            (Some(queue), reply) => {
                self.answer_to(queue, &delivery.message, reply).await;
                Ok(())
            }
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => self.retry(delivery, FailureCause::of_handler(&error.into())).await,
        }
    }

    /// Answers `null` to a request whose handler says nothing.
    pub(super) async fn answer_done(&self, request: &Delivery) {
        if let Some(queue) = self.asks(request) {
            self.answer_to(queue, &request.message, Ok(RawValue::NULL.to_owned())).await;
        }
    }

    /// Tells a requester that its command is a dead letter.
    pub(super) async fn answer_failure(&self, request: &Delivery, cause: FailureCause) {
        if let Some(queue) = self.asks(request) {
            // What a handler's unknown errors say is not meant for others.
            let error = match ErrorCode::from_wire(cause.code) {
                code if code == ErrorCode::UNKNOWN_ERROR => {
                    ApiError::new(ErrorCode::INTERNAL_ERROR, "Internal server error")
                }
                code => ApiError::new(code, cause.message),
            };
            self.answer_to(queue, &request.message, Err(error)).await;
        }
    }

    /// The queue that a request is answered to. Events may carry one too, for whatever reason; nobody waits for theirs.
    pub(super) fn asks<'a>(&self, delivery: &'a Delivery) -> Option<&'a str> {
        let reply_to = delivery.message.reply_to.as_deref();
        reply_to.filter(|_| self.settings.takes_commands(&delivery.queue))
    }

    /// Sends an answer while somebody waits for it; one that cannot be sent is logged, since the command is done.
    async fn answer_to(&self, queue: &str, request: &Message, reply: Reply) {
        let context = Context::current().child();
        let message = self.answer_message(request, reply, &context);
        let limit = self.broker.config().publish_deadline.min(MAX_WAIT);
        let left = request.deadline().map(|deadline| deadline.saturating_since(Timestamp::now()));
        let by = Instant::now() + left.map_or(limit, |left| left.min(limit));
        match self.broker.backend().publish(Target::Queue(queue.to_owned()), message, by).await {
            Ok(()) => {}
            Err(PublishError::Unroutable { .. }) => tracing::debug!(queue, "nobody waits for the answer any more"),
            Err(error) => tracing::warn!(%error, queue, "the answer was not sent; the command is done"),
        }
    }

    fn answer_message(&self, request: &Message, reply: Reply, context: &Context) -> Message {
        let (id, event_type) = (id::event(), Name::from(format!("{}.reply", request.event_type)));
        let timestamp = Timestamp::now();
        let limit = self.broker.config().max_event_bytes;
        let body = reply.and_then(|data| {
            let event = Event {
                id: id.clone(),
                event_type: event_type.clone(),
                source: self.broker.service().into(),
                timestamp,
                correlation_id: context.correlation_id().into(),
                data,
                metadata: Metadata { version: VERSION.into(), ..Metadata::default() },
                extensions: Extensions::default(),
            };
            match event.to_json() {
                Ok(body) if body.len() <= limit => Ok(body),
                Ok(body) => {
                    let message = format!("The answer has {} bytes; the limit is {limit}", body.len());
                    Err(ApiError::new(ErrorCode::PAYLOAD_TOO_LARGE, message))
                }
                Err(error) => Err(ApiError::internal(error)),
            }
        });
        let body = body.unwrap_or_else(|error| {
            tracing::debug!(%error, "the request is answered with an error");
            serde_json::to_vec(&error.envelope(context)).unwrap_or_default()
        });
        let mut message = Message {
            body: Bytes::from(body).into(),
            id,
            event_type,
            correlation_id: request.correlation_id.clone(),
            source: Some(self.broker.service().into()),
            timestamp: u64::try_from(timestamp.as_secs()).ok(),
            ..Message::default()
        };
        context.inject(|name, value| {
            if !header::NOT_CARRIED.contains(&name) {
                message.headers.set(name, value);
            }
        });
        message
    }
}
