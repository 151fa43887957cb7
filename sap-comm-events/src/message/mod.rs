//! A message as a broker carries it, whatever the broker.

use std::borrow::Cow;

use bytes::Bytes;
use sap_comm_core::{Context, EventKind, RawEvent, Timestamp};

mod format;
pub mod header;

pub(crate) use format::Content;
pub use format::EventFormat;

/// An event's bytes, and what a broker keeps beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) body: Bytes,
    /// The event id; empty when a foreign publisher named none.
    pub(crate) id: String,
    /// The event type, which is the routing key.
    pub(crate) event_type: String,
    /// The event's correlation id, or what ties an answer to its request.
    pub(crate) correlation_id: Option<String>,
    /// The queue to answer to.
    pub(crate) reply_to: Option<String>,
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only a wire carries it"))]
    pub(crate) source: Option<String>,
    /// Seconds since the Unix epoch.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only a wire carries it"))]
    pub(crate) timestamp: Option<u64>,
    pub(crate) content: Content,
    pub(crate) headers: Headers,
}

impl Message {
    /// The message of an event that `context` causes.
    pub(crate) fn of_event<T>(
        event: &sap_comm_core::Event<T>,
        body: Vec<u8>,
        kind: EventKind,
        context: &Context,
    ) -> Self {
        let mut headers = Headers::default();
        headers.set(header::KIND, kind.as_str().to_owned());
        context.inject(|name, value| {
            if !header::NOT_CARRIED.contains(&name) {
                headers.set(name, value);
            }
        });
        Self {
            body: body.into(),
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            correlation_id: Some(event.correlation_id.clone()),
            reply_to: None,
            source: Some(event.source.clone()),
            timestamp: u64::try_from(event.timestamp.as_secs()).ok(),
            content: Content::default(),
            headers,
        }
    }

    /// The context of the delivery: the headers', with the event's own correlation id.
    pub(crate) fn context(&self, event: Option<&RawEvent>) -> Context {
        let context =
            Context::extract_trusted(
                |name| {
                    if header::NOT_CARRIED.contains(&name) { None } else { self.headers.text(name) }
                },
            );
        let correlation_id = event.map(|event| event.correlation_id.as_str()).or(self.correlation_id.as_deref());
        let context = match correlation_id {
            Some(id) => context.with_correlation_id(id),
            None => context,
        };
        context.with_attempt(self.attempt())
    }

    /// Until when a requester waits.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.headers.text(header::DEADLINE)?.parse().ok()
    }

    /// Which delivery attempt this is, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.headers.number(header::ATTEMPT).unwrap_or(1).max(1)
    }
}

/// Headers in the order they were set; a name occurs once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(Cow<'static, str>, HeaderValue)>);

/// The header values that survive a copy; others are dropped.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HeaderValue {
    Text(String),
    Int(i64),
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only others send it"))]
    Bool(bool),
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only others send it"))]
    Float(f64),
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl Headers {
    pub(crate) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<HeaderValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A small count, written as a number or as text.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        match self.get(name)? {
            HeaderValue::Int(number) => u32::try_from(*number).ok(),
            HeaderValue::Text(text) => text.parse().ok(),
            HeaderValue::Bool(_) | HeaderValue::Float(_) => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.0.iter().find_map(|(own, value)| (own == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_occurs_once() {
        let mut headers = Headers::default();
        headers.set("a", 1);
        headers.set("a".to_owned(), "2".to_owned());
        assert_eq!((headers.number("a"), headers.iter().count()), (Some(2), 1));
        headers.remove("a");
        assert_eq!(headers.number("a"), None);
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
