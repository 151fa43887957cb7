//! The publishing half of a [`Broker`].

use std::{sync::Arc, time::Duration};

use sap_comm_core::{Context, DecodeError, Event, EventKind, EventPayload, Name, RawEvent, Timestamp};
use serde::Serialize;
use tokio::{task::coop::consume_budget, time::Instant};
use tracing::Instrument;

use super::{Broker, PublishError};
use crate::{
    EventFormat,
    backend::{Answer, FAR, Handed},
    message::{Body, Message, Unwritten, header},
    request::ReturnAddress,
    telemetry::Sending,
    topology::{MAX_EVENT_TYPE, Target, check_name},
};

/// The broker has the event: it is in every queue that wanted it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmation {
    /// The event's id.
    pub id: Name,
}

/// Options of one publish.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PublishOptions {
    deadline: Option<Duration>,
    ordering_key: Option<String>,
    format: Option<EventFormat>,
    answer_to: Option<ReturnAddress>,
    when: Option<When>,
}

/// When an event is to reach its exchange.
#[derive(Debug, Clone, Copy)]
enum When {
    After(Duration),
    At(Timestamp),
}

/// Where events go, and because of what.
pub(super) struct Origin<'a> {
    exchange: &'a str,
    kind: EventKind,
    target: Target,
    context: Context,
}

/// An event that was checked and written, and is about to be handed over.
pub(super) struct Outgoing<'a> {
    pub(super) under_way: UnderWay<'a>,
    pub(super) message: Arc<Message>,
    pub(super) terms: Terms,
}

/// What an event is handed over by.
pub(super) struct Terms {
    pub(super) delay: Option<Duration>,
    /// The end of the context.
    until: Option<Instant>,
    /// How long the publish may take.
    within: Duration,
    span: tracing::Span,
}

/// What is known of an event whatever becomes of it.
pub(super) struct UnderWay<'a> {
    id: Name,
    sending: Sending,
    recorded: Recorded<'a>,
}

/// What tells the test of a service.
#[cfg(feature = "test-util")]
type Recorded<'a> = Option<crate::test_util::Publishing<'a>>;
#[cfg(not(feature = "test-util"))]
type Recorded<'a> = std::marker::PhantomData<&'a ()>;

/// How far an event is.
pub(super) enum Stage {
    Done(Result<(), PublishError>),
    /// The broker is about to answer, by then.
    Pending(Answer, Instant),
    /// There is something to wait for before.
    Waiting {
        message: Arc<Message>,
        delay: Option<Duration>,
        deadline: Instant,
        span: tracing::Span,
    },
}

impl PublishOptions {
    /// The defaults of the broker's configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the publish may take, instead of the configuration's deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What the event is to be kept in order with, such as the id of its user. It travels as the header
    /// [`ORDERING_KEY`](crate::header::ORDERING_KEY); a consumer that is [ordered by it](crate::Subscription::ordered_by_key)
    /// handles events of the same key one after the other.
    pub fn ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// How the event is written, instead of the configuration's format.
    pub fn format(mut self, format: EventFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// The longest delay: 30 days. What is to happen later belongs into a database, where it can be looked at and changed.
    pub const MAX_DELAY: Duration = Duration::from_secs(30 * 86_400);

    /// Publishes the event after `delay`, which counts from its confirm: from then on the broker keeps it.
    ///
    /// On RabbitMQ the delay is rounded up to the next 100 ms, and the event arrives some milliseconds after that, never before.
    /// It needs no plugin: queues named `sap.delay.{n}` hold it in turn, and survive a restart. An event that no queue wants
    /// when it is due is dropped: whoever wants it subscribes before. The last of `after` and [`at`](Self::at) counts.
    pub fn after(mut self, delay: Duration) -> Self {
        self.when = Some(When::After(delay));
        self
    }

    /// Publishes the event at a point in time, as [`after`](Self::after) the time until then; at once when that is past.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.when = Some(When::At(at));
        self
    }

    /// How much later the event is to be published, if it is.
    fn delay(&self) -> Option<Duration> {
        let delay = match self.when? {
            When::After(delay) => delay,
            When::At(at) => at.saturating_since(Timestamp::now()),
        };
        (!delay.is_zero()).then_some(delay)
    }

    /// Makes it a request.
    pub(crate) fn answer_to(mut self, address: ReturnAddress) -> Self {
        self.answer_to = Some(address);
        self
    }

    /// Writes what a consumer must know.
    fn mark(self, message: &mut Message) {
        if let Some(key) = self.ordering_key {
            message.headers.set(header::ORDERING_KEY, key);
        }
        if let Some(ReturnAddress { queue, deadline }) = self.answer_to {
            message.headers.set(header::DEADLINE, deadline.to_string());
            message.reply_to = Some(queue.into());
            // What clients of any language send back with their answer; the event keeps its own.
            message.correlation_id = Some(message.id.clone());
        }
    }
}

impl Broker {
    /// Publishes a payload as a new event of this service, caused by the current [`Context`].
    ///
    /// Commands go to exactly one consumer, every other kind to each group that handles the type. Returns within the
    /// publish deadline or the context's, whichever is earlier. Dropping the future may or may not stop the event.
    ///
    /// # Errors
    /// See [`PublishError`]: it says whether the broker may have the event.
    pub async fn publish<T: EventPayload>(&self, exchange: &str, payload: T) -> Result<Confirmation, PublishError> {
        self.publish_with(exchange, payload, PublishOptions::new()).await
    }

    /// Like [`Broker::publish`], with options.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_with<T: EventPayload>(
        &self,
        exchange: &str,
        payload: T,
        options: PublishOptions,
    ) -> Result<Confirmation, PublishError> {
        let origin = Origin::of(exchange, T::KIND);
        let outgoing = self.prepare_new(&origin, payload, options)?;
        self.send(&origin, outgoing).await
    }

    /// Like [`Broker::publish`], `delay` later: see [`PublishOptions::after`].
    ///
    /// ```
    /// use std::time::Duration;
    /// # use sap_comm_core::{Event, EventPayload};
    /// # use sap_comm_events::{Broker, BrokerConfig, EventRouter};
    /// # #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// # #[event(type = "invitation.expired")]
    /// # struct InvitationExpired { id: String }
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = Broker::connect("memory://", BrokerConfig::new("user-service")).await?;
    /// # let (seen, mut arrived) = tokio::sync::mpsc::channel(1);
    /// # let router = EventRouter::new().on(move |event: Event<InvitationExpired>| {
    /// #     let seen = seen.clone();
    /// #     async move { Ok(seen.send(event.data.id).await?) }
    /// # });
    /// # let subscription = broker.subscribe("user.events", router).await?;
    /// let week = Duration::from_secs(7 * 86_400);
    /// broker.publish_after("user.events", InvitationExpired { id: "inv_1".into() }, week).await?;
    /// # assert_eq!(arrived.recv().await.as_deref(), Some("inv_1"));
    /// # subscription.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Broker::publish`], and when the delay is over [`PublishOptions::MAX_DELAY`].
    pub async fn publish_after<T: EventPayload>(
        &self,
        exchange: &str,
        payload: T,
        delay: Duration,
    ) -> Result<Confirmation, PublishError> {
        self.publish_with(exchange, payload, PublishOptions::new().after(delay)).await
    }

    /// Like [`Broker::publish`], at a point in time: see [`PublishOptions::at`].
    ///
    /// # Errors
    /// As [`Broker::publish_after`].
    pub async fn publish_at<T: EventPayload>(
        &self,
        exchange: &str,
        payload: T,
        at: Timestamp,
    ) -> Result<Confirmation, PublishError> {
        self.publish_with(exchange, payload, PublishOptions::new().at(at)).await
    }

    /// Publishes an event as it is, such as one made with [`Event::new`] or kept from earlier: its id stays.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_event<T: EventPayload>(
        &self,
        exchange: &str,
        event: &Event<T>,
    ) -> Result<Confirmation, PublishError> {
        self.publish_event_with(exchange, event, PublishOptions::new()).await
    }

    /// Like [`Broker::publish_event`], with options.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_event_with<T: EventPayload>(
        &self,
        exchange: &str,
        event: &Event<T>,
        options: PublishOptions,
    ) -> Result<Confirmation, PublishError> {
        let context = of_publish().with_correlation_id(&event.correlation_id);
        let origin = Origin { context, ..Origin::of(exchange, T::KIND) };
        let outgoing = self.prepare(&origin, event, options)?;
        self.send(&origin, outgoing).await
    }

    /// Publishes an event whose payload is not looked into, as an outbox does. A raw event does not know its `kind`.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_raw(
        &self,
        exchange: &str,
        event: RawEvent,
        kind: EventKind,
    ) -> Result<Confirmation, PublishError> {
        self.publish_raw_with(exchange, event, kind, PublishOptions::new()).await
    }

    /// Like [`Broker::publish_raw`], with options.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_raw_with(
        &self,
        exchange: &str,
        event: RawEvent,
        kind: EventKind,
        options: PublishOptions,
    ) -> Result<Confirmation, PublishError> {
        let context = of_publish().with_correlation_id(&event.correlation_id);
        let origin = Origin { context, ..Origin::of(exchange, kind) };
        let outgoing = self.prepare(&origin, &event, options)?;
        drop(event);
        self.send(&origin, outgoing).await
    }

    /// Checks and writes an event, and begins to publish it.
    fn prepare<T: Serialize>(
        &self,
        origin: &Origin<'_>,
        event: &Event<T>,
        options: PublishOptions,
    ) -> Result<Outgoing<'_>, PublishError> {
        let format = options.format.unwrap_or(self.config().event_format);
        let encode = |error: DecodeError| PublishError::Encode { reason: error.to_string() };
        // A request is no plain message of its event.
        let inside = format == EventFormat::Envelope && options.answer_to.is_none() && self.backend().stays_inside();
        let unwritten = if inside { Unwritten::of(event).map_err(encode)? } else { None };
        let (size, body) = match unwritten {
            Some(unwritten) => (unwritten.len(event), Body::Unwritten(unwritten)),
            None => {
                let body = format.body(event).map_err(encode)?;
                (body.len(), Body::Written(body))
            }
        };
        check_name("exchange", origin.exchange)?;
        check_type(&event.event_type)?;
        let limit = self.config().max_event_bytes;
        if size > limit {
            return Err(PublishError::TooLarge { id: event.id.clone(), size, limit });
        }
        let (context, sending) = self.telemetry().send(&origin.target, event, size, origin.context.clone());
        let span = tracing::debug_span!(
            "publish",
            trace_id = %context.trace().display_trace_id(),
            request_id = context.request_id(),
            correlation_id = context.correlation_id(),
            event_id = event.id.as_str(),
            event_type = event.event_type.as_str(),
            exchange = origin.exchange,
        );
        let (delay, within) = (options.delay(), options.deadline.unwrap_or(self.config().publish_deadline));
        let terms = Terms { delay, until: context.deadline(), within, span };
        let mut message = Message::of_event(event, format, body, origin.kind, context);
        options.mark(&mut message);
        #[cfg(feature = "test-util")]
        let recorded = self.recorder().map(|recorder| recorder.publishing(origin.exchange, &message));
        #[cfg(not(feature = "test-util"))]
        let recorded = Recorded::default();
        let under_way = UnderWay { id: event.id.clone(), sending, recorded };
        Ok(Outgoing { under_way, message: Arc::new(message), terms })
    }

    /// Makes, checks and writes a new event.
    pub(super) fn prepare_new<T: EventPayload>(
        &self,
        origin: &Origin<'_>,
        payload: T,
        options: PublishOptions,
    ) -> Result<Outgoing<'_>, PublishError> {
        let event = Event::caused_by(&origin.context, self.service(), payload);
        self.prepare(origin, &event, options)
    }

    async fn send(&self, origin: &Origin<'_>, outgoing: Outgoing<'_>) -> Result<Confirmation, PublishError> {
        let Outgoing { under_way, message, terms } = outgoing;
        let handed = match terms.delay {
            None => terms.span.in_scope(|| self.backend().publish_now(&origin.target, message)),
            Some(_) => Handed::Back(message),
        };
        self.finish(&origin.target, under_way, terms.stage(handed, Instant::now)).await
    }

    /// Waits until it is known what became of an event.
    pub(super) async fn finish(
        &self,
        target: &Target,
        under_way: UnderWay<'_>,
        stage: Stage,
    ) -> Result<Confirmation, PublishError> {
        let outcome = match stage {
            Stage::Done(outcome) => outcome,
            Stage::Pending(answer, deadline) => {
                let answered = answer.until(deadline).await;
                answered.unwrap_or_else(|sent| Err(self.backend().late(under_way.id.clone(), sent)))
            }
            Stage::Waiting { message, delay, deadline, span } => {
                let message = Arc::unwrap_or_clone(message);
                Box::pin(self.hand_over(target.clone(), message, delay, deadline)).instrument(span).await
            }
        };
        // One that never has to wait would keep other tasks waiting.
        consume_budget().await;
        under_way.end(outcome)
    }

    async fn hand_over(
        &self,
        target: Target,
        message: Message,
        delay: Option<Duration>,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        match (delay, target) {
            (Some(delay), _) if delay > PublishOptions::MAX_DELAY => {
                Err(PublishError::TooFar { id: message.id, delay, limit: PublishOptions::MAX_DELAY })
            }
            (Some(delay), Target::Exchange { name, kind }) => {
                self.backend().publish_later(name, kind, message, delay, deadline).await
            }
            (_, target) => self.backend().publish(target, message, deadline).await,
        }
    }
}

impl<'a> Origin<'a> {
    /// The exchange that takes events of `kind`; what is published there now is caused by the current context.
    pub(super) fn of(exchange: &'a str, kind: EventKind) -> Self {
        Self { exchange, kind, target: Target::of(exchange, kind), context: of_publish() }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

impl Terms {
    /// How far an event is that was handed over; `now` is asked for the time where it matters.
    pub(super) fn stage(self, handed: Handed, now: impl FnOnce() -> Instant) -> Stage {
        let Self { delay, until, within, span } = self;
        let deadline = || {
            let now = now();
            let own = now.checked_add(within).unwrap_or_else(|| now + FAR);
            until.map_or(own, |until| until.min(own))
        };
        match handed {
            Handed::Done(outcome) => Stage::Done(outcome),
            Handed::Pending(answer) => Stage::Pending(answer, deadline()),
            Handed::Back(message) => Stage::Waiting { message, delay, deadline: deadline(), span },
        }
    }
}

impl UnderWay<'_> {
    /// It is known what became of the event.
    pub(super) fn end(self, outcome: Result<(), PublishError>) -> Result<Confirmation, PublishError> {
        let Self { id, sending, recorded: _recorded } = self;
        sending.end(outcome.as_ref().map(drop));
        outcome?;
        #[cfg(feature = "test-util")]
        if let Some(recorded) = _recorded {
            recorded.confirmed();
        }
        Ok(Confirmation { id })
    }
}

/// The context of a publish: a span of its own within the caller's trace, or a trace of its own.
fn of_publish() -> Context {
    Context::try_current().map_or_else(Context::root, |context| context.child())
}

fn check_type(event_type: &str) -> Result<(), PublishError> {
    let reason = match event_type.len() {
        0 => "its type is empty".to_owned(),
        length if length > MAX_EVENT_TYPE => format!("its type has {length} bytes; a routing key has 255 at most"),
        _ => return Ok(()),
    };
    Err(PublishError::Encode { reason })
}
