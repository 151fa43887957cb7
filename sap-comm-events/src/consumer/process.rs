//! From a delivery to an outcome.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use sap_comm_core::{ErrorCode, RawEvent};
use tracing::Instrument;

use super::{FailureCause, Handling};
use crate::{
    Outcome,
    backend::{Delivery, Redelivered},
    message::{Message, header},
    router::Route,
};

/// What is to become of a delivery.
pub(super) enum Verdict {
    Ack,
    /// Another attempt after a delay, if any are left.
    Retry(FailureCause),
    /// A dead letter.
    Dead(FailureCause),
    /// Back to the end of the queue, counted.
    Requeue,
}

impl Handling {
    /// Handles one delivery and settles it, within its context and a span that names it.
    pub(super) async fn process(&self, delivery: Delivery) {
        let message = &*delivery.message;
        let event = self.read(message);
        let context = message.context(event.as_ref().ok());
        let span = tracing::info_span!(
            "process",
            trace_id = context.trace().trace_id(),
            request_id = context.request_id(),
            correlation_id = context.correlation_id(),
            event_id = message.id,
            event_type = message.event_type,
            queue = &*delivery.queue,
            group = self.settings.group,
            attempt = message.attempt(),
        );
        let work = async {
            let verdict = match self.poisoned(&delivery) {
                Some(verdict) => verdict,
                None => self.verdict(event).await,
            };
            self.settle(delivery, verdict).await;
        };
        context.scope(work.instrument(span)).await;
    }

    fn read(&self, message: &Message) -> Result<RawEvent, FailureCause> {
        let (size, limit) = (message.body.len(), self.broker.config().max_event_bytes);
        if size > limit {
            let reason = format_args!("the event has {size} bytes; the limit is {limit}");
            return Err(FailureCause::new(&ErrorCode::PAYLOAD_TOO_LARGE, reason));
        }
        RawEvent::from_json(&message.body).map_err(|error| FailureCause::of_decoding(&error))
    }

    /// What must happen instead of handling, because consumers died holding the message or gave it back.
    fn poisoned(&self, delivery: &Delivery) -> Option<Verdict> {
        let limit = self.broker.config().max_redeliveries;
        match delivery.redelivered {
            Redelivered::Uncounted if self.broker.config().count_redeliveries => Some(Verdict::Requeue),
            Redelivered::Times(times) if times > limit => Some(Verdict::Dead(redelivered_too_often(limit))),
            _ => None,
        }
    }

    async fn verdict(&self, event: Result<RawEvent, FailureCause>) -> Verdict {
        let event = match event {
            Ok(event) => event,
            Err(cause) => return Verdict::Dead(cause),
        };
        // A handler may panic before its future does.
        let routed = std::panic::catch_unwind(AssertUnwindSafe(|| self.router.route(event)));
        let answer = match routed {
            Ok(Route::Handler(Ok(answer))) => answer,
            Ok(Route::Handler(Err(error))) => return Verdict::Dead(FailureCause::of_decoding(&error)),
            Ok(Route::Ignored) => {
                tracing::debug!("no handler takes this type, and the router ignores it");
                return Verdict::Ack;
            }
            // Another version of the service asked for it, or somebody else bound the queue for it.
            Ok(Route::Unknown(event_type)) => {
                let reason = format_args!("no handler takes events of type {event_type:?}");
                return Verdict::Dead(FailureCause::new(&ErrorCode::EVENT_TYPE_UNKNOWN, reason));
            }
            Err(_) => return Verdict::Retry(panicked()),
        };
        let outcome = AssertUnwindSafe(answer).catch_unwind();
        let outcome = match self.settings.timeout {
            None => outcome.await,
            Some(limit) => match tokio::time::timeout(limit, outcome).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let reason = format_args!("the handler took longer than {limit:?}");
                    return Verdict::Retry(FailureCause::new(&ErrorCode::DEADLINE_EXCEEDED, reason));
                }
            },
        };
        match outcome {
            Ok(Outcome::Ack) => Verdict::Ack,
            Ok(Outcome::Retry { reason }) => Verdict::Retry(FailureCause::of_handler(&reason)),
            Ok(Outcome::DeadLetter { reason }) => Verdict::Dead(FailureCause::of_handler(&reason)),
            Ok(Outcome::Requeue) => Verdict::Requeue,
            Err(_) => Verdict::Retry(panicked()),
        }
    }
}

fn panicked() -> FailureCause {
    FailureCause::new(&ErrorCode::INTERNAL_ERROR, "the handler panicked")
}

pub(super) fn redelivered_too_often(limit: u32) -> FailureCause {
    let reason = format_args!("the event was given back, or its consumer died holding it, more than {limit} times");
    FailureCause::new(&ErrorCode::UNKNOWN_ERROR, reason)
}

/// How often the message was given back, as counted in its headers.
pub(super) fn redeliveries(message: &Message) -> u32 {
    message.headers.number(header::REDELIVERIES).unwrap_or(0)
}
