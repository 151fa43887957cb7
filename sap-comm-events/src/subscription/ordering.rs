//! Which events are handled one after the other.

use std::{borrow::Cow, fmt, panic::AssertUnwindSafe, sync::Arc};

use sap_comm_core::{RawEvent, header::CORRELATION_ID};

use crate::message::{Message, header::ORDERING_KEY};

/// What ties events together that must be handled one after the other, in the order of their delivery.
///
/// Events without the key wait for nobody. The order holds among the handlers of one consumer: where a group has several
/// processes, make it [`single_active`](crate::Subscription::single_active) too.
///
/// ```
/// use sap_comm_events::{OrderingKey, Subscription};
///
/// let by_tenant = OrderingKey::from_fn(|event| {
///     let data: serde_json::Value = serde_json::from_str(event.data.get()).ok()?;
///     Some(data["tenantId"].as_str()?.to_owned())
/// });
/// let subscription = Subscription::new("order.events").concurrency(16).ordered_by(by_tenant);
/// # drop(subscription);
/// ```
#[derive(Clone)]
pub struct OrderingKey(Part);

/// A function of the user.
type OfEvent = Arc<dyn Fn(&RawEvent) -> Option<String> + Send + Sync>;

#[derive(Clone)]
enum Part {
    Published,
    Header(Cow<'static, str>),
    EventType,
    CorrelationId,
    Queue,
    Event(OfEvent),
}

/// What a key's later events do while an earlier one waits for its retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RetryOrder {
    /// They wait for it: the event stays in hand over its delays, and the order of its key survives them. Only when it is a
    /// dead letter do they go on without it. The default.
    ///
    /// What waits counts against the prefetch, so a key with many events may hold up others. The attempts of an event in
    /// hand are forgotten when its process or its channel ends, which itself is counted.
    #[default]
    HoldKey,
    /// They go on: the event takes the ladder of delays, and comes back behind them.
    ReleaseKey,
}

impl OrderingKey {
    /// The key that the event was [published](crate::PublishOptions::ordering_key) with, or written to the outbox with.
    #[must_use]
    pub fn published() -> Self {
        Self(Part::Published)
    }

    /// The text of a message header, or its number.
    #[must_use]
    pub fn header(name: impl Into<Cow<'static, str>>) -> Self {
        Self(Part::Header(name.into()))
    }

    /// The event type, which is the routing key.
    #[must_use]
    pub fn event_type() -> Self {
        Self(Part::EventType)
    }

    /// The correlation id: what one request caused stays in order.
    #[must_use]
    pub fn correlation_id() -> Self {
        Self(Part::CorrelationId)
    }

    /// One key for all: the order of the queue, over retries too.
    #[must_use]
    pub fn queue() -> Self {
        Self(Part::Queue)
    }

    /// What `key` says of the event; it is called once for each delivery, and should be quick. An event that it panics at
    /// has no key.
    pub fn from_fn(key: impl Fn(&RawEvent) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Part::Event(Arc::new(key)))
    }

    /// The key of a message; `read` gives its event, if it is one.
    pub(crate) fn of<'a>(&self, message: &Message, read: impl FnOnce() -> Option<&'a RawEvent>) -> Option<Arc<str>> {
        match &self.0 {
            Part::Published => message.headers.key(ORDERING_KEY).map(Arc::from),
            Part::Header(name) => message.headers.key(name).map(Arc::from),
            Part::EventType => Some(message.event_type.as_str().into()),
            Part::CorrelationId => {
                message.headers.text(CORRELATION_ID).or(message.correlation_id.as_deref()).map(Arc::from)
            }
            Part::Queue => Some("".into()),
            Part::Event(key) => {
                let event = read()?;
                let key = std::panic::catch_unwind(AssertUnwindSafe(|| key(event))).unwrap_or_else(|_| {
                    tracing::error!(event_id = event.id.as_str(), "the function of the ordering key panicked");
                    None
                });
                key.map(Arc::from)
            }
        }
    }
}

impl fmt::Debug for OrderingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Part::Published => "published",
            Part::Header(name) => return f.debug_tuple("OrderingKey").field(name).finish(),
            Part::EventType => "event type",
            Part::CorrelationId => "correlation id",
            Part::Queue => "queue",
            Part::Event(_) => "function",
        };
        f.debug_tuple("OrderingKey").field(&format_args!("{name}")).finish()
    }
}
