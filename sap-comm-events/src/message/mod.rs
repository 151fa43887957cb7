//! A message as a broker carries it, whatever the broker.

mod body;
mod cause;
mod format;
pub mod header;
mod headers;

use sap_comm_core::{Context, Event, EventKind, Name, Timestamp};

pub(crate) use body::{Body, Unwritten};
pub(crate) use format::Content;
pub use format::EventFormat;
#[cfg(feature = "rabbitmq")]
pub(crate) use format::Unsupported;
pub(crate) use headers::{HeaderValue, Headers};

use crate::cloud_events;
#[cfg(feature = "rabbitmq")]
use crate::topology::MAX_EVENT_TYPE;

/// An event's bytes, and what a broker keeps beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) body: Body,
    /// The event id; empty when a foreign publisher named none.
    pub(crate) id: Name,
    /// The event type, which is the routing key.
    pub(crate) event_type: Name,
    /// The event's correlation id, or what ties an answer to its request.
    pub(crate) correlation_id: Option<Name>,
    /// The queue to answer to.
    pub(crate) reply_to: Option<Box<str>>,
    pub(crate) source: Option<Name>,
    /// Seconds since the Unix epoch.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only a wire carries it"))]
    pub(crate) timestamp: Option<u64>,
    pub(crate) content: Content,
    pub(crate) headers: Headers,
}

impl Message {
    /// The message of an event that `context` causes; `body` is in `format`.
    pub(crate) fn of_event<T>(
        event: &Event<T>,
        format: EventFormat,
        body: Body,
        kind: EventKind,
        context: Context,
    ) -> Self {
        let mut headers = Headers::caused_by(context, kind);
        if format == EventFormat::CloudEventsBinary {
            cloud_events::headers(event, &mut headers);
        }
        Self {
            body,
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            correlation_id: Some(event.correlation_id.clone()),
            reply_to: None,
            source: Some(event.source.clone()),
            timestamp: u64::try_from(event.timestamp.as_secs()).ok(),
            content: Content::Event(format),
            headers,
        }
    }

    /// The context of the delivery: that of the cause or the headers', with the event's own correlation id if it is known.
    pub(crate) fn context(&self, correlation_id: Option<&str>) -> Context {
        let correlation_id = correlation_id.or(self.correlation_id.as_deref());
        let context = match self.headers.cause() {
            Some(cause) => cause.handed_on(),
            None => Context::extract_trusted(|name| match self.headers.text(name) {
                _ if header::NOT_CARRIED.contains(&name) => None,
                // Whoever says no more has one id for both.
                None if name == sap_comm_core::header::REQUEST_ID => correlation_id,
                text => text,
            }),
        };
        let context = match correlation_id {
            // A clone of what stays as it is would cost as much as all of this.
            Some(id) if id != context.correlation_id() => context.with_correlation_id(id),
            _ => context,
        };
        let attempt = self.attempt();
        if attempt == context.attempt() { context } else { context.with_attempt(attempt) }
    }

    /// Whether the body is an event in the envelope of the specification, and nothing but the event matters.
    pub(crate) fn is_plain(&self) -> bool {
        self.content == Content::default() && self.headers.text(header::DEADLINE).is_none()
    }

    /// Until when a requester waits.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.headers.text(header::DEADLINE)?.parse().ok()
    }

    /// What exchanges compare: the event type, unless it was published with another key. One that is too long is nobody's.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn routing_key(&self) -> &str {
        let own = self.headers.text(header::ROUTING_KEY).filter(|key| key.len() <= MAX_EVENT_TYPE);
        own.unwrap_or(&self.event_type)
    }

    /// Whether nobody said its type: what is written straight into `queue` comes under the name of that.
    pub(crate) fn is_untyped(&self, queue: &str) -> bool {
        self.event_type.is_empty() || *self.event_type == *queue
    }

    /// Sees that the message says whether it is a command. Where it came from tells that: whoever may publish events, and no commands,
    /// makes none by a header.
    pub(crate) fn set_command(&mut self, is_command: bool) {
        let says_so = self.headers.text(header::KIND) == Some(EventKind::Command.as_str());
        if is_command != says_so {
            let kind = if is_command { EventKind::Command } else { EventKind::Domain };
            self.headers.set(header::KIND, kind.as_str().to_owned());
        }
    }

    /// Which delivery attempt this is, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.headers.number(header::ATTEMPT).unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use sap_comm_core::Principal;

    use super::*;

    #[test]
    fn a_message_says_what_it_is_where_it_said_something_else() {
        for (said, is_command, says) in [
            (Some("command"), false, Some("domain")),
            (Some("command"), true, Some("command")),
            (Some("system"), false, Some("system")),
            (Some("domain"), true, Some("command")),
            (None, true, Some("command")),
            (None, false, None),
        ] {
            let mut message = Message::default();
            said.into_iter().for_each(|kind| message.headers.set(header::KIND, kind.to_owned()));
            message.set_command(is_command);
            assert_eq!(message.headers.text(header::KIND), says, "{said:?}");
        }
    }

    #[test]
    fn a_principal_that_expired_on_the_way_stays_somebody() {
        let expires_at = Some(Timestamp::from_millis(0));
        let expired = Principal { expires_at, ..Principal::user("usr_1", ["admin"]) };
        let publisher = Context::root().with_principal(expired);
        let handed_on = Headers::caused_by(publisher.clone(), EventKind::Domain);
        let mut read = Headers::default();
        publisher.inject(|name, value| read.set(name, value));
        for headers in [handed_on, read] {
            let context = Message { headers, ..Message::default() }.context(None);
            assert_eq!((context.principal(), context.principal_header().as_deref()), (None, Some("?")));
        }
    }

    #[test]
    fn a_hostile_attempt_count_is_harmless() {
        let mut message = Message::default();
        for value in [HeaderValue::Int(-1), HeaderValue::Int(i64::MAX), HeaderValue::Text("x".into()), 0_u32.into()] {
            message.headers.set(header::ATTEMPT, value);
            assert_eq!(message.attempt(), 1);
        }
    }
}
