//! Messages as AMQP properties, headers and bytes.

use sap_comm_core::{Name, header};

use crate::{
    amqp::{self, PropertiesWriter, Value},
    message::{Content, HeaderValue, Headers, Message, header::ROUTING_KEY},
};

/// The properties that a message is published with. What is too long for AMQP's short strings is left out.
pub(super) fn write(message: &Message, properties: &mut PropertiesWriter<'_, '_>) {
    let (content_type, content_encoding) = message.content.properties();
    properties.content_type(content_type);
    properties.content_encoding(content_encoding);
    properties.headers(|set| {
        message.headers.write(|name, value| match &value {
            HeaderValue::Text(text) if IDS.contains(&name) && message.correlation_id.as_deref() == Some(text) => {}
            HeaderValue::Text(text) => set(name, Value::text(text)),
            HeaderValue::Int(number) => set(name, Value::Int(*number)),
            HeaderValue::Bool(value) => set(name, Value::Bool(*value)),
            HeaderValue::Float(number) => set(name, Value::Float(*number)),
            HeaderValue::Timestamp(seconds) => set(name, Value::Timestamp(*seconds)),
            HeaderValue::Other(bytes) => set(name, Value::Other(bytes)),
        });
    });
    properties.persistent();
    properties.correlation_id(message.correlation_id.as_deref());
    properties.reply_to(message.reply_to.as_deref());
    properties.message_id(Some(&message.id));
    properties.timestamp(message.timestamp);
    properties.event_type(Some(&message.event_type));
    properties.app_id(message.source.as_deref());
}

/// A message that was delivered, and what the broker says about it.
pub(super) struct Arrived {
    pub(super) message: Message,
    /// How often a quorum queue delivered it before.
    pub(super) delivery_count: Option<u32>,
    /// Which event of its stream it is.
    pub(super) offset: Option<u64>,
}

/// Reads what was delivered, from us or from anybody.
pub(super) fn read(content: &amqp::Content) -> Arrived {
    let properties = content.properties();
    // Straight into a queue it comes under the name of that; through an exchange, under its own key, whatever else it says.
    let through_exchange = !content.exchange().is_empty();
    let mut headers = Vec::new();
    let (mut delivery_count, mut offset) = (None, None);
    for (name, value) in properties.headers.iter() {
        match (name, value) {
            (DELIVERY_COUNT, Value::Int(count)) => delivery_count = u32::try_from(count).ok(),
            (super::stream::OFFSET, Value::Int(number)) => offset = u64::try_from(number).ok(),
            // Further routing keys: a copy is for one queue, and RabbitMQ closes the channel for one of another type.
            ("CC" | "BCC", _) => {}
            (ROUTING_KEY, _) if through_exchange => {}
            _ if OF_THE_BROKER.iter().any(|prefix| name.starts_with(prefix)) => {}
            _ => headers.push((name.to_owned(), value_of(value))),
        }
    }
    let mut headers = Headers::of_wire(headers);
    let (typed, key) = (said(properties.event_type), content.routing_key());
    if through_exchange && typed.is_some_and(|event_type| event_type != key) {
        headers.set(ROUTING_KEY, key.clone().into_owned());
    }
    let text = |property: Option<&str>| said(property).map(Name::from);
    let content_of = Content::of(said(properties.content_type), said(properties.content_encoding), &headers);
    let message = Message {
        body: content.body().into(),
        id: text(properties.message_id).unwrap_or_default(),
        // A retry comes back under its queue's name, so the property goes first.
        event_type: Name::from(typed.unwrap_or(&key)),
        correlation_id: text(properties.correlation_id),
        reply_to: said(properties.reply_to).map(Into::into),
        source: text(properties.app_id),
        timestamp: properties.timestamp,
        content: content_of,
        headers,
    };
    Arrived { message, delivery_count, offset }
}

/// Headers that are not written where they say what the property `correlation_id` says: a broker's work on a message grows
/// with each.
const IDS: [&str; 2] = [header::REQUEST_ID, header::CORRELATION_ID];

const DELIVERY_COUNT: &str = "x-delivery-count";

/// Headers that a copy does not keep: the broker's own records of deaths and deliveries would mislead about the copy.
const OF_THE_BROKER: [&str; 6] =
    ["x-death", "x-first-death", "x-last-death", DELIVERY_COUNT, super::rungs::HEADERS, super::stream::OFFSET];

/// The text of a property. An empty one says nothing, and a copy would not have it.
fn said(property: Option<&str>) -> Option<&str> {
    property.filter(|text| !text.is_empty())
}

fn value_of(value: Value<'_>) -> HeaderValue {
    match value {
        Value::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => HeaderValue::Text(text.to_owned()),
            Err(_) => HeaderValue::Other(value.to_bytes()),
        },
        Value::Bool(value) => HeaderValue::Bool(value),
        Value::Int(number) => HeaderValue::Int(number),
        Value::Float(number) => HeaderValue::Float(number),
        Value::Timestamp(seconds) => HeaderValue::Timestamp(seconds),
        Value::Other(_) => HeaderValue::Other(value.to_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use lapin::{
        BasicProperties,
        protocol::basic::gen_properties,
        types::{AMQPValue, FieldArray, FieldTable},
    };

    use bytes::Bytes;
    use sap_comm_core::{Context, Event, EventKind, EventPayload};

    use super::*;
    use crate::{EventFormat, amqp::properties_bytes};

    #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    #[event(type = "user.created")]
    struct UserCreated {
        number: u32,
    }

    fn arrived(properties: &[u8]) -> Arrived {
        read(&amqp::Content::of("user.created", properties, b"{}"))
    }

    /// As another client writes them.
    fn delivered(properties: &BasicProperties) -> Arrived {
        let written = gen_properties(properties)(Vec::new().into());
        arrived(&written.expect("a vector takes everything").into_inner().0)
    }

    #[test]
    fn a_message_survives_the_wire() {
        let mut sent = Message {
            body: Bytes::from_static(b"{}").into(),
            id: "evt_1".into(),
            event_type: "user.created".into(),
            correlation_id: Some("req_1".into()),
            reply_to: Some("replies".into()),
            source: Some("auth-service".into()),
            timestamp: Some(7),
            content: Content::default(),
            headers: Headers::default(),
        };
        sent.headers.set("a", "text".to_owned());
        sent.headers.set("b", 7);
        let arrived = arrived(&properties_bytes(|to| write(&sent, to))).message;
        assert_eq!(arrived.body(), sent.body());
        assert_eq!((arrived.id, arrived.event_type, arrived.timestamp), (sent.id, sent.event_type, Some(7)));
        assert_eq!((arrived.correlation_id, arrived.source), (sent.correlation_id, sent.source));
        assert_eq!(arrived.reply_to, sent.reply_to);
        assert_eq!((arrived.headers.text("a"), arrived.headers.number("b")), (Some("text"), Some(7)));
    }

    #[test]
    fn an_id_that_is_both_is_written_once() {
        for (request, correlation, written) in
            [("a", "a", vec!["kind", "traceparent"]), ("a", "b", vec!["kind", "x-request-id", "traceparent"])]
        {
            let root = Context::extract(|name| (name == header::REQUEST_ID).then_some(request));
            let context = root.with_correlation_id(correlation);
            let event = context.clone().sync_scope(|| Event::new("auth-service", UserCreated { number: 1 }));
            let kind = EventKind::Domain;
            let sent = Message::of_event(&event, EventFormat::Envelope, Bytes::new().into(), kind, context.clone());
            let arrived = arrived(&properties_bytes(|to| write(&sent, to))).message;
            assert_eq!(arrived.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), written);
            let read = arrived.context(None);
            assert_eq!((read.request_id(), read.correlation_id()), (request, correlation));
        }
    }

    #[test]
    fn headers_of_any_type_are_kept() {
        let mut table = FieldTable::default();
        table.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::default()));
        table.insert("x-first-death-queue".into(), AMQPValue::LongString("a".into()));
        table.insert("table".into(), AMQPValue::FieldTable(FieldTable::default()));
        table.insert("bytes".into(), AMQPValue::LongString([0xff_u8].to_vec().into()));
        table.insert("void".into(), AMQPValue::Void);
        table.insert("time".into(), AMQPValue::Timestamp(7));
        table.insert("bool".into(), AMQPValue::Boolean(true));
        let message = delivered(&BasicProperties::default().with_headers(table)).message;
        let other = |bytes: &[u8]| HeaderValue::Other(bytes.to_vec());
        let kept = [
            ("bool", HeaderValue::Bool(true)),
            ("bytes", other(b"S\0\0\0\x01\xff")),
            ("table", other(b"F\0\0\0\0")),
            ("time", HeaderValue::Timestamp(7)),
            ("void", other(b"V")),
        ];
        let copy = arrived(&properties_bytes(|to| write(&message, to))).message;
        for headers in [&message.headers, &copy.headers] {
            assert!(headers.iter().eq(kept.iter().map(|(name, value)| (*name, value))), "{headers:?}");
        }
        assert_eq!((message.event_type.as_str(), message.id.as_str()), ("user.created", ""));
    }

    #[test]
    fn a_routing_key_that_is_not_the_type_is_kept() {
        let typed = properties_bytes(|to| to.event_type(Some("user.created")));
        let of = |key, properties: &[u8]| read(&amqp::Content::of(key, properties, b"{}")).message;
        assert_eq!(of("user.created", &typed).headers.iter().count(), 0);
        // Straight into a queue.
        let direct = of("user.events.audit", &typed);
        assert_eq!((direct.event_type.as_str(), direct.routing_key()), ("user.created", "user.created"));
        let mut kept = direct;
        kept.headers.set(ROUTING_KEY, "eu.created".to_owned());
        let copy = of("user.events.audit", &properties_bytes(|to| write(&kept, to)));
        assert_eq!((copy.event_type.as_str(), copy.routing_key()), ("user.created", "eu.created"));
    }

    #[test]
    fn through_an_exchange_the_key_on_the_wire_is_the_truth() {
        let of = |event_type, said: &str, exchange, key| {
            let mut sent = Message { event_type, ..Message::default() };
            sent.headers.set(ROUTING_KEY, said.to_owned());
            read(&amqp::Content::through(exchange, key, &properties_bytes(|to| write(&sent, to)), b"{}")).message
        };
        let said = |message: &Message| message.headers.text(ROUTING_KEY).map(str::to_owned);
        let other = of("user.created".into(), "lie", "user.events", "eu.created");
        assert_eq!((said(&other).as_deref(), other.routing_key()), (Some("eu.created"), "eu.created"));
        for event_type in ["user.created", ""] {
            let same = of(event_type.into(), "lie", "user.events", "user.created");
            assert_eq!((said(&same), same.routing_key()), (None, "user.created"), "{event_type:?}");
        }
        let direct = of("user.created".into(), &"x".repeat(256), "", "user.events.audit");
        assert_eq!(direct.routing_key(), "user.created");
    }

    #[test]
    fn what_the_broker_counts_is_read() {
        let mut table = FieldTable::default();
        table.insert(DELIVERY_COUNT.into(), AMQPValue::LongLongInt(3));
        table.insert("x-stream-offset".into(), AMQPValue::LongLongInt(7));
        let arrived = delivered(&BasicProperties::default().with_headers(table));
        assert_eq!((arrived.delivery_count, arrived.offset), (Some(3), Some(7)));
        assert_eq!(arrived.message.headers.iter().count(), 0);
    }

    #[test]
    fn an_empty_property_is_none() {
        let properties = BasicProperties::default().with_type("".into()).with_content_type("".into());
        let message = delivered(&properties.with_correlation_id("".into()).with_reply_to("".into())).message;
        assert_eq!((message.event_type.as_str(), message.content), ("user.created", Content::default()));
        assert_eq!((message.correlation_id, message.reply_to), (None, None));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let message =
            Message { id: "x".repeat(256).into(), source: Some("y".repeat(256).into()), ..Message::default() };
        let arrived = arrived(&properties_bytes(|to| write(&message, to))).message;
        assert_eq!((arrived.id.as_str(), arrived.source), ("", None));
    }
}
