//! Messages as AMQP properties, headers and bytes.

use std::collections::BTreeMap;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable, ShortString},
};
use sap_comm_core::Name;

use crate::message::{Content, HeaderValue, Headers, Message};

/// Persistent, in AMQP's numbers.
const PERSISTENT: u8 = 2;

/// The properties that a message is published with. What is too long for AMQP's short strings is left out.
pub(super) fn of(message: &Message) -> BasicProperties {
    let mut table = BTreeMap::new();
    message.headers.write(|name, value| {
        let value = match value {
            HeaderValue::Text(text) => AMQPValue::LongString(text.into()),
            HeaderValue::Int(number) => AMQPValue::LongLongInt(number),
            HeaderValue::Bool(value) => AMQPValue::Boolean(value),
            HeaderValue::Float(number) => AMQPValue::Double(number),
        };
        if let Ok(name) = ShortString::try_new(name) {
            table.insert(name, value);
        }
    });
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(FieldTable::from(table));
    let short = |text: &str| ShortString::try_new(text).ok().filter(|text| !text.as_str().is_empty());
    let (content_type, content_encoding) = message.content.properties();
    if let Some(content_type) = content_type.and_then(short) {
        properties = properties.with_content_type(content_type);
    }
    if let Some(content_encoding) = content_encoding.and_then(short) {
        properties = properties.with_content_encoding(content_encoding);
    }
    if let Some(id) = short(&message.id) {
        properties = properties.with_message_id(id);
    }
    if let Some(event_type) = short(&message.event_type) {
        properties = properties.with_type(event_type);
    }
    if let Some(id) = message.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(queue) = message.reply_to.as_deref().and_then(short) {
        properties = properties.with_reply_to(queue);
    }
    if let Some(source) = message.source.as_deref().and_then(short) {
        properties = properties.with_app_id(source);
    }
    match message.timestamp {
        Some(timestamp) => properties.with_timestamp(timestamp),
        None => properties,
    }
}

/// The message that was delivered, from us or from anybody.
pub(super) fn message(delivery: Delivery) -> Message {
    let Delivery { routing_key, properties, data, .. } = delivery;
    let text = |field: &Option<ShortString>| said(field).map(Name::from);
    let headers = properties.headers().as_ref().map(headers).unwrap_or_default();
    let content = Content::of(said(properties.content_type()), said(properties.content_encoding()), &headers);
    Message {
        body: data.into(),
        id: text(properties.message_id()).unwrap_or_default(),
        // A retry comes back under its queue's name, so the property goes first.
        event_type: text(properties.kind()).unwrap_or_else(|| routing_key.as_str().into()),
        correlation_id: text(properties.correlation_id()),
        reply_to: said(properties.reply_to()).map(str::to_owned),
        source: text(properties.app_id()),
        timestamp: *properties.timestamp(),
        content,
        headers,
    }
}

/// The text of a property. An empty one says nothing, and a copy would not have it.
fn said(field: &Option<ShortString>) -> Option<&str> {
    field.as_ref().map(ShortString::as_str).filter(|text| !text.is_empty())
}

/// The headers that a copy keeps. The broker's own records of deaths and deliveries would mislead about the copy.
fn headers(table: &FieldTable) -> Headers {
    const OF_THE_BROKER: [&str; 6] =
        ["x-death", "x-first-death", "x-last-death", DELIVERY_COUNT, super::rungs::HEADERS, super::stream::OFFSET];
    let mut headers = Headers::default();
    for (name, value) in table {
        if OF_THE_BROKER.iter().any(|prefix| name.as_str().starts_with(prefix)) {
            continue;
        }
        if let Some(value) = value_of(value) {
            headers.set(name.to_string(), value);
        }
    }
    headers
}

fn value_of(value: &AMQPValue) -> Option<HeaderValue> {
    Some(match value {
        AMQPValue::LongString(text) => HeaderValue::Text(String::from_utf8(text.as_bytes().to_vec()).ok()?),
        AMQPValue::ShortString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::Boolean(value) => HeaderValue::Bool(*value),
        AMQPValue::ShortShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::ShortUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongUInt(number) => HeaderValue::Int((*number).into()),
        AMQPValue::LongLongInt(number) => HeaderValue::Int(*number),
        AMQPValue::Float(number) => HeaderValue::Float((*number).into()),
        AMQPValue::Double(number) => HeaderValue::Float(*number),
        _ => return None,
    })
}

const DELIVERY_COUNT: &str = "x-delivery-count";

/// How often a quorum queue says that the message was delivered before.
pub(super) fn delivery_count(properties: &BasicProperties) -> Option<u32> {
    let count = properties.headers().as_ref()?.inner().get(DELIVERY_COUNT).and_then(value_of)?;
    match count {
        HeaderValue::Int(count) => u32::try_from(count).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldArray;

    use super::*;

    fn delivered(properties: BasicProperties) -> Message {
        let mut delivery = Delivery::mock(1, "user.events".into(), "user.created".into(), false, b"{}".to_vec());
        delivery.properties = properties;
        message(delivery)
    }

    #[test]
    fn a_message_survives_the_wire() {
        let mut sent = Message {
            body: b"{}".as_slice().into(),
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
        let arrived = delivered(of(&sent));
        assert_eq!((arrived.id, arrived.event_type, arrived.timestamp), (sent.id, sent.event_type, Some(7)));
        assert_eq!((arrived.correlation_id, arrived.source), (sent.correlation_id, sent.source));
        assert_eq!(arrived.reply_to, sent.reply_to);
        assert_eq!((arrived.headers.text("a"), arrived.headers.number("b")), (Some("text"), Some(7)));
    }

    #[test]
    fn headers_of_any_type_are_harmless() {
        let mut table = FieldTable::default();
        table.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::default()));
        table.insert("x-first-death-queue".into(), AMQPValue::LongString("a".into()));
        table.insert("table".into(), AMQPValue::FieldTable(FieldTable::default()));
        table.insert("bytes".into(), AMQPValue::LongString([0xff_u8].to_vec().into()));
        table.insert("void".into(), AMQPValue::Void);
        table.insert("kept".into(), AMQPValue::Boolean(true));
        let message = delivered(BasicProperties::default().with_headers(table));
        assert_eq!(message.headers.iter().collect::<Vec<_>>(), [("kept", &HeaderValue::Bool(true))]);
        assert_eq!((message.event_type.as_str(), message.id.as_str()), ("user.created", ""));
    }

    #[test]
    fn an_empty_property_is_none() {
        let empty = || ShortString::from("");
        let properties = BasicProperties::default().with_type(empty()).with_content_type(empty());
        let message = delivered(properties.with_correlation_id(empty()).with_reply_to(empty()));
        assert_eq!((message.event_type.as_str(), message.content), ("user.created", Content::default()));
        assert_eq!((message.correlation_id, message.reply_to), (None, None));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let message =
            Message { id: "x".repeat(256).into(), source: Some("y".repeat(256).into()), ..Message::default() };
        let properties = of(&message);
        assert_eq!((properties.message_id(), properties.app_id()), (&None, &None));
    }
}
