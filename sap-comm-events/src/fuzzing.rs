//! The decoder as a fuzzer feeds it: `fuzz/`, and a bounded run of the same here.

use sap_comm_core::{Context, EventKind, Name, RawEvent};

use crate::{
    EventFormat, EventProcessingFailed, FailureCause,
    message::{Message, header},
    rabbit::wire_message,
};

/// Takes `input` for a delivery, and does with it what a consumer does with anybody's; whether it was an event.
///
/// Two bytes are the length of the AMQP properties, which follow as on the wire, and the rest is the body.
///
/// # Panics
/// When a property breaks: an event that was read is the same once it is written and read again, in every format.
pub fn delivery(input: &[u8]) -> bool {
    let Some((length, rest)) = input.split_first_chunk() else { return false };
    let (properties, body) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    let (message, again) = wire_message("user.created", properties, body);
    // A dead letter keeps what a copy keeps.
    assert_eq!((&again.id, &again.event_type, again.body()), (&message.id, &message.event_type, message.body()));
    assert_eq!((&again.content, &again.correlation_id), (&message.content, &message.correlation_id));
    // As text, since a number may be none.
    let headers = |message: &Message| message.headers.iter().map(|header| format!("{header:?}")).collect::<Vec<_>>();
    assert_eq!(headers(&again), headers(&message));
    assert!(message.attempt() > 0);
    let read = message.event();
    let cause = FailureCause { message: String::new(), code: String::new() };
    let report = EventProcessingFailed::of(message.body(), 64, cause).expect("whatever came can be reported");
    assert!(serde_json::from_str::<serde_json::Value>(report.original_event.get()).is_ok() || !body.is_ascii());
    let context = message.context(read.as_ref().ok().map(|event| event.correlation_id.as_str()));
    let _ = (message.deadline(), message.is_plain(), message.headers.number(header::REDELIVERIES));
    let Ok(event) = read else { return false };
    for format in [EventFormat::Envelope, EventFormat::CloudEventsStructured, EventFormat::CloudEventsBinary] {
        rewritten(&event, format, &context);
    }
    true
}

/// Takes `input` for what a broker says on a connection: frames, one after the other.
///
/// # Panics
/// When somebody who waits for an answer does not learn that the connection has ended.
pub fn frames(input: &[u8]) {
    crate::amqp::frames(input);
}

fn rewritten(event: &RawEvent, format: EventFormat, context: &Context) {
    // CloudEvents has no empty attributes.
    let cloud_event = format != EventFormat::Envelope;
    let is_refused = cloud_event && [&event.id, &event.event_type, &event.source].iter().any(|part| part.is_empty());
    let body = match format.body(event) {
        Err(_) if is_refused => return,
        body => body.expect("what was read can be written"),
    };
    let message = Message::of_event(event, format, body.into(), EventKind::Domain, context.clone());
    let again = message.event().unwrap_or_else(|error| panic!("{error}: {message:?}"));
    if format == EventFormat::Envelope {
        assert_eq!(again.to_json().ok(), event.to_json().ok());
    }
    assert_eq!((&again.id, &again.event_type, &again.source), (&event.id, &event.event_type, &event.source));
    let otherwise =
        |text: &Name, absent: &Name| if cloud_event && text.is_empty() { absent.clone() } else { text.clone() };
    let correlation_id = otherwise(&event.correlation_id, &event.id);
    assert_eq!((&again.correlation_id, again.data.get()), (&correlation_id, event.data.get()));
    let version = otherwise(&event.metadata.version, &"1.0".into());
    assert_eq!((again.timestamp, &again.metadata.version), (event.timestamp, &version));
    let user_id = event.metadata.user_id.clone().filter(|user_id| !(cloud_event && user_id.is_empty()));
    assert_eq!(again.metadata.user_id, user_id);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use lapin::{
        BasicProperties,
        protocol::basic::gen_properties,
        types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, ShortString},
    };
    use proptest::prelude::*;

    use super::*;

    const ENVELOPE: &str = r#"{"id":"evt_1","type":"user.created","source":"auth-service","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{"a":[1,2.5,"x",null]},"metadata":{"version":"1.2","userId":"usr_1"},"tenant":"acme"}"#;
    const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/a","type":"b","time":"2025-05-19T18:30:00Z","correlationid":"req_1","data_base64":"eyJhIjoxfQ==","tenant":true}"#;

    fn input(properties: &BasicProperties, body: &[u8]) -> Vec<u8> {
        let written = gen_properties(properties)(Vec::new().into());
        let properties = written.expect("a vector takes everything").into_inner().0;
        let length = u16::try_from(properties.len()).unwrap().to_be_bytes();
        [&length[..], &properties, body].concat()
    }

    fn binary_cloud_event() -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "/a"), ("type", "b"), ("userid", "usr_1")]
        {
            table.insert(format!("cloudEvents_{name}").into(), AMQPValue::LongString(value.into()));
        }
        table.insert("cloudEvents:priority".into(), AMQPValue::LongInt(7));
        BasicProperties::default().with_content_type("application/json".into()).with_headers(table)
    }

    /// What each kind of sender sends; also in `fuzz/seeds`, where the fuzzer begins.
    fn seeds() -> Vec<(&'static str, Vec<u8>)> {
        let json = |kind: &str| BasicProperties::default().with_content_type(kind.into());
        let headers = table(every_value());
        let traced = table([
            ("traceparent", text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
            ("x-sap-attempt", AMQPValue::LongLongInt(3)),
            ("x-sap-deadline", text("2025-05-19T18:30:00.000Z")),
            ("kind", text("command")),
        ]);
        vec![
            ("bare", input(&BasicProperties::default(), ENVELOPE.as_bytes())),
            ("json", input(&json("application/json").with_message_id("evt_1".into()), ENVELOPE.as_bytes())),
            ("traced", input(&json("application/json; charset=utf-8").with_headers(traced), ENVELOPE.as_bytes())),
            ("structured", input(&json("application/cloudevents+json"), CLOUD_EVENT.as_bytes())),
            ("binary", input(&binary_cloud_event(), br#"{"a":1}"#)),
            ("headers", input(&json("application/json").with_headers(headers), ENVELOPE.as_bytes())),
            ("encoded", input(&json("text/xml").with_content_encoding("gzip".into()), b"<a/>")),
        ]
    }

    fn table<N: Into<ShortString>>(values: impl IntoIterator<Item = (N, AMQPValue)>) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in values {
            table.insert(name.into(), value);
        }
        table
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    /// One value of every type that a header may have.
    fn every_value() -> Vec<(&'static str, AMQPValue)> {
        let nested = table([("a", AMQPValue::Boolean(true))]);
        vec![
            ("boolean", AMQPValue::Boolean(true)),
            ("i8", AMQPValue::ShortShortInt(-1)),
            ("u8", AMQPValue::ShortShortUInt(1)),
            ("i16", AMQPValue::ShortInt(-1)),
            ("u16", AMQPValue::ShortUInt(1)),
            ("i32", AMQPValue::LongInt(-1)),
            ("u32", AMQPValue::LongUInt(1)),
            ("i64", AMQPValue::LongLongInt(i64::MIN)),
            ("f32", AMQPValue::Float(1.5)),
            ("f64", AMQPValue::Double(-0.0)),
            ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 150 })),
            ("text", text("x")),
            ("bytes", AMQPValue::LongString([0xff_u8, 0].to_vec().into())),
            ("array", AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void, text("x")]))),
            ("time", AMQPValue::Timestamp(u64::MAX)),
            ("table", AMQPValue::FieldTable(nested)),
            ("blob", AMQPValue::ByteArray(ByteArray::from(vec![0xff_u8]))),
            ("void", AMQPValue::Void),
        ]
    }

    #[test]
    fn what_every_sender_sends_is_read() {
        for (name, seed) in seeds() {
            assert_eq!(delivery(&seed), name != "encoded", "{name}");
        }
    }

    #[test]
    fn the_fuzzer_begins_with_what_every_sender_sends() {
        for (name, seed) in seeds() {
            is_seed("delivery", name, &seed);
        }
    }

    /// Asserts that a target's fuzzer begins with `seed` among others.
    pub(crate) fn is_seed(target: &str, name: &str, seed: &[u8]) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target).join(name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            std::fs::write(&file, seed).unwrap();
        }
        assert_eq!(std::fs::read(&file).unwrap_or_default(), seed, "{name} differs: run with UPDATE_SEEDS=1");
    }

    /// `input` with bytes changed, removed, doubled, and spliced with others, behind `from`.
    pub(crate) fn changed(rng: &mut fastrand::Rng, mut input: Vec<u8>, others: &[Vec<u8>], from: usize) -> Vec<u8> {
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(from.min(input.len())..=input.len());
            let end = rng.usize(at..=input.len().min(at + 16));
            match rng.u8(..5) {
                0 if at < input.len() => input[at] = rng.u8(..),
                1 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
                2 => drop(input.drain(at..end)),
                3 => {
                    let doubled = input[at..end].to_vec();
                    input.splice(at..at, doubled);
                }
                _ => {
                    let other = &others[rng.usize(..others.len())];
                    let from = rng.usize(..other.len());
                    input.splice(at..end, other[from..other.len().min(from + 24)].iter().copied());
                }
            }
        }
        input
    }

    /// The bounded run of the fuzzer's target: every seed, with bytes changed, removed, doubled, and spliced with others.
    #[test]
    fn whatever_a_wire_brings_is_read_or_refused() {
        let mut rng = fastrand::Rng::with_seed(0x5eed);
        let seeds: Vec<_> = seeds().into_iter().map(|(_, seed)| seed).collect();
        let mut events = 0;
        for _ in 0..30_000 {
            let input = seeds[rng.usize(..seeds.len())].clone();
            // The body alone, or the properties too.
            let body = 2 + usize::from(u16::from_be_bytes([input[0], input[1]]));
            let from = if rng.bool() { body } else { 0 };
            events += usize::from(delivery(&changed(&mut rng, input, &seeds, from)));
        }
        assert!((1_000..29_000).contains(&events), "{events} of 30000 were events: the changes are not worth much");
    }

    fn value() -> impl Strategy<Value = AMQPValue> {
        let plain = prop_oneof![
            proptest::sample::select(every_value()).prop_map(|(_, value)| value),
            any::<i64>().prop_map(AMQPValue::LongLongInt),
            any::<f64>().prop_filter("equals itself", |number| !number.is_nan()).prop_map(AMQPValue::Double),
            ".{0,20}".prop_map(|value| text(&value)),
        ];
        plain.prop_recursive(3, 8, 3, |inner| {
            proptest::collection::vec(inner, 0..3).prop_map(|values| AMQPValue::FieldArray(FieldArray::from(values)))
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            delivery(&bytes);
        }

        #[test]
        fn any_properties_and_headers_are_read_or_refused(
            content_type in proptest::option::of(proptest::sample::select(vec![
                "", "application/json", "APPLICATION/JSON;charset=x", "application/cloudevents+json", "text/plain", "/;;",
            ])),
            encoding in proptest::option::of(proptest::sample::select(vec!["", "utf-8", "gzip", "UTF8 "])),
            headers in proptest::collection::vec((
                proptest::sample::select(vec![
                    "kind", "x-sap-attempt", "x-sap-redeliveries", "x-sap-deadline", "traceparent", "x-principal",
                    "x-request-id", "cloudEvents_specversion", "cloudEvents_id", "cloudEvents:id", "cloudEvents_time", "x-death", "",
                ]),
                value(),
            ), 0..6),
            id in ".{0,40}",
            body in proptest::sample::select(vec![ENVELOPE, CLOUD_EVENT, "", "{}", "[]", "null", "{\"a\":"]),
        ) {
            let mut properties = BasicProperties::default();
            if let Some(content_type) = content_type {
                properties = properties.with_content_type(content_type.into());
            }
            if let Some(encoding) = encoding {
                properties = properties.with_content_encoding(encoding.into());
            }
            if let Ok(id) = ShortString::try_new(id) {
                properties = properties.with_message_id(id.clone()).with_correlation_id(id.clone()).with_type(id);
            }
            delivery(&input(&properties.with_headers(table(headers)), body.as_bytes()));
        }
    }
}
