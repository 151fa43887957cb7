//! From a delivery to an outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use sap_comm_core::{Context, ErrorCode, Timestamp};
use tracing::{Instrument, Span};

use super::{
    FailureCause, Handling,
    settle::describe,
    work::{Read, Work},
};
use crate::{
    Outcome,
    backend::{Delivery, Redelivered},
    message::{Message, header},
    router::{Answer, Begun, Handled, Reply, Route},
    telemetry::{Processing, Received},
};

/// What is to become of a delivery.
#[derive(Clone)]
pub(super) enum Verdict {
    Ack,
    /// Another attempt after a delay, if any are left.
    Retry(FailureCause),
    /// A dead letter.
    Dead(FailureCause),
    /// Back to the end of the queue, counted.
    Requeue,
    /// The answer to a request.
    Answer(Reply),
}

/// An event that waits in hand to be handled again.
pub(super) struct Again {
    pub(super) work: Work,
    pub(super) after: Duration,
}

impl Handling {
    /// Handles one delivery and settles it, within its context and a span that names it.
    ///
    /// What seldom happens is in boxes, here and in what is called: a future is as large as its largest branch, and moved.
    pub(super) async fn process(&self, work: Work) {
        let Some(begun) = self.begin(&work) else { return Box::pin(self.process_unread(work)).await };
        let delivery = work.delivery;
        let (context, span) = self.scene(&delivery, begun.correlation_id.as_deref());
        let (context, processing) = self.processing(&delivery, context);
        let work = async {
            let verdict = processing.watch(self.verdict_of(begun.answer), Verdict::failure).await;
            self.settle(delivery, verdict).await;
        };
        if span.is_disabled() {
            context.scope(work).await;
        } else {
            Box::pin(context.scope(work.instrument(span))).await;
        }
    }

    async fn process_unread(&self, work: Work) {
        let (delivery, event) = work.into_parts(self);
        let (context, span) = self.scene(&delivery, correlation_id(&event));
        let (context, processing) = self.processing(&delivery, context);
        let work = async {
            let verdict = processing.watch(self.verdict_on(&delivery, event), Verdict::failure).await;
            self.settle(delivery, verdict).await;
        };
        context.scope(work.instrument(span)).await;
    }

    /// Like [`Handling::process`], for an event that is to stay in hand until its last attempt.
    pub(super) async fn process_held(&self, work: Work) -> Option<Again> {
        let (delivery, event) = work.into_parts(self);
        let (context, span) = self.scene(&delivery, correlation_id(&event));
        let (context, processing) = self.processing(&delivery, context);
        let work = async {
            let mut verdict = processing.watch(self.verdict_on(&delivery, event), Verdict::failure).await;
            if matches!(verdict, Verdict::Requeue) && self.settings.topology.stream.is_some() {
                verdict =
                    Verdict::Retry(FailureCause::new(&ErrorCode::UNKNOWN_ERROR, "the handler gave the event back"));
            }
            match verdict {
                Verdict::Retry(cause) if let Some(after) = self.delay_before_next(&delivery.message) => {
                    Some(Again { work: again(delivery, cause, after), after })
                }
                verdict => {
                    self.settle(delivery, verdict).await;
                    None
                }
            }
        };
        context.scope(work.instrument(span)).await
    }

    /// The context of a delivery, and a span that names it.
    pub(super) fn scene(&self, delivery: &Delivery, correlation_id: Option<&str>) -> (Context, Span) {
        let message = &*delivery.message;
        let context = message.context(correlation_id);
        let span = tracing::info_span!(
            "process",
            trace_id = %context.trace().display_trace_id(),
            request_id = context.request_id(),
            correlation_id = context.correlation_id(),
            event_id = message.id.as_str(),
            event_type = message.event_type.as_str(),
            queue = &*delivery.queue,
            group = self.settings.group,
            attempt = message.attempt(),
        );
        (context, span)
    }

    fn processing(&self, delivery: &Delivery, context: Context) -> (Context, Processing) {
        self.broker.telemetry().process(&delivery.message, &self.received(delivery), context)
    }

    /// What telemetry says of where a delivery comes from.
    pub(super) fn received<'a>(&'a self, delivery: &'a Delivery) -> Received<'a> {
        Received { exchange: &self.settings.exchange, group: &self.settings.group, delivery }
    }

    pub(super) fn read(&self, message: &Message) -> Read {
        let limit = self.limit();
        if let Some(size) = message.over(limit) {
            let reason = format_args!("the event has {size} bytes; the limit is {limit}");
            return Err(FailureCause::new(&ErrorCode::PAYLOAD_TOO_LARGE, reason));
        }
        message.event().map_err(|error| FailureCause::of_decoding(&error))
    }

    async fn verdict_on(&self, delivery: &Delivery, event: Read) -> Verdict {
        match self.refused(delivery) {
            Some(verdict) => verdict,
            None => match delivery.message.deadline() {
                // The handler's deadline is not that of its settlement.
                Some(deadline) => {
                    let left = deadline.saturating_since(Timestamp::now());
                    Context::current().with_timeout(left).scope(self.verdict(event)).await
                }
                None => self.verdict(event).await,
            },
        }
    }

    /// What must happen instead of handling, because nobody waits for it any more, or because consumers died holding the
    /// message or gave it back.
    pub(super) fn refused(&self, delivery: &Delivery) -> Option<Verdict> {
        if let Some(deadline) = delivery.message.deadline().filter(|deadline| *deadline <= Timestamp::now()) {
            let reason = format_args!("the request expired at {deadline}, before it was handled");
            return Some(Verdict::Dead(FailureCause::new(&ErrorCode::DEADLINE_EXCEEDED, reason)));
        }
        let limit = self.broker.config().max_redeliveries;
        match delivery.redelivered {
            Redelivered::Uncounted if self.broker.config().count_redeliveries => Some(Verdict::Requeue),
            Redelivered::Times(times) if times > limit => Some(Verdict::Dead(redelivered_too_often(limit))),
            _ => None,
        }
    }

    async fn verdict(&self, event: Read) -> Verdict {
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
        self.verdict_of(answer).await
    }

    /// Most events are what their message says: they are read once, for their handler. `None` if this one is not, or something
    /// must happen instead of handling: then the long way finds out what.
    fn begin(&self, work: &Work) -> Option<Begun> {
        let message = work.message();
        let plain = message.is_plain() && message.over(self.limit()).is_none();
        if work.is_read() || !plain || self.refused(&work.delivery).is_some() {
            return None;
        }
        std::panic::catch_unwind(AssertUnwindSafe(|| self.router.begin(message))).ok()?
    }

    async fn verdict_of(&self, answer: Answer) -> Verdict {
        match self.answer(answer).await {
            Ok(Handled::Settled(outcome)) => outcome.into(),
            Ok(Handled::Answered(reply)) => Verdict::Answer(reply),
            Err(cause) => Verdict::Retry(cause),
        }
    }

    fn limit(&self) -> usize {
        self.broker.config().max_event_bytes
    }

    /// What a handler says, unless it panics or takes too long.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, FailureCause> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answered = match self.settings.timeout {
            None => answer.await,
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(answered) => answered,
                Err(_) => {
                    let reason = format_args!("the handler took longer than {limit:?}");
                    return Err(FailureCause::new(&ErrorCode::DEADLINE_EXCEEDED, reason));
                }
            },
        };
        answered.map_err(|_| panicked())
    }
}

pub(super) fn correlation_id(event: &Read) -> Option<&str> {
    event.as_ref().ok().map(|event| event.correlation_id.as_str())
}

impl Verdict {
    /// The code of what went wrong.
    pub(super) fn failure(&self) -> Option<&str> {
        match self {
            Self::Retry(cause) | Self::Dead(cause) => Some(&cause.code),
            Self::Answer(Err(error)) => Some(error.code().as_str()),
            Self::Ack | Self::Requeue | Self::Answer(Ok(_)) => None,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ack => Self::Ack,
            Outcome::Retry { reason } => Self::Retry(FailureCause::of_handler(&reason)),
            Outcome::DeadLetter { reason } => Self::Dead(FailureCause::of_handler(&reason)),
            Outcome::Requeue => Self::Requeue,
        }
    }
}

/// The delivery as its next attempt; the copy lives in this process alone.
fn again(mut delivery: Delivery, cause: FailureCause, after: Duration) -> Work {
    tracing::warn!(
        error = cause.message,
        code = cause.code,
        ?after,
        "handling failed; it holds its key until the next attempt"
    );
    let mut message = (*delivery.message).clone();
    message.headers.set(header::ATTEMPT, message.attempt() + 1);
    describe(&mut message, cause);
    delivery.message = Arc::new(message);
    Work::from(delivery)
}

pub(super) fn panicked() -> FailureCause {
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
