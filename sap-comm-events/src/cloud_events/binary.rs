use base64::{Engine, prelude::BASE64_STANDARD};
use sap_comm_core::{DecodeError, Event, RawEvent, Timestamp};
use serde_json::value::RawValue;

use super::{
    Attributes,
    attributes::{READ, extensions, of_event, refuse},
};
use crate::message::{HeaderValue, Headers};

/// What the headers begin with, and what the binding for AMQP 1.0 also allows.
const PREFIXES: [&str; 2] = ["cloudEvents_", "cloudEvents:"];

fn attribute(header: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix))
}

/// The text of a point in time; none beyond the year 9999, which has no such text.
fn time(seconds: u64) -> Option<String> {
    const END: u64 = 253_402_300_800;
    let millis = i64::try_from(seconds.checked_mul(1_000).filter(|_| seconds < END)?).ok()?;
    Some(Timestamp::from_millis(millis).to_string())
}

/// An attribute as text; none if it is absent, or if it is not one that `is_read` and there is no text for it.
fn text(value: &HeaderValue, is_read: bool) -> Result<Option<String>, &'static str> {
    let without = |reason| if is_read { Err(reason) } else { Ok(None) };
    Ok(Some(match value {
        HeaderValue::Text(text) => text.clone(),
        HeaderValue::Int(number) => number.to_string(),
        HeaderValue::Bool(value) => value.to_string(),
        HeaderValue::Float(number) => number.to_string(),
        HeaderValue::Timestamp(seconds) => match time(*seconds) {
            Some(text) => text,
            None => return without("is a time beyond the year 9999"),
        },
        HeaderValue::Other(value) => match value.split_first() {
            Some((b'V', _)) => return Ok(None),
            // The letter is followed by the length.
            Some((b'x' | b'S', rest)) if !is_read => BASE64_STANDARD.encode(rest.get(4..).unwrap_or_default()),
            Some((b'x' | b'S', _)) => return Err("holds bytes that are no text"),
            _ => return without("is a table, a list or a decimal"),
        },
    }))
}

/// Writes the attributes of an event into headers; the body is its `data` alone.
pub(crate) fn headers<T>(event: &Event<T>, headers: &mut Headers) {
    let [prefix, _] = PREFIXES;
    of_event(event, |name, text| headers.set(format!("{prefix}{name}"), text.to_owned()));
    for (name, value) in extensions(event) {
        if let Ok(text) = serde_json::from_str::<String>(value.get()) {
            headers.set(format!("{prefix}{name}"), text);
        }
    }
}

/// Whether the headers are those of a CloudEvent.
#[cfg(any(test, feature = "rabbitmq"))]
pub(crate) fn is_binary(headers: &Headers) -> bool {
    PREFIXES.iter().any(|prefix| headers.iter().any(|(name, _)| name.strip_prefix(prefix) == Some("specversion")))
}

/// The event of a message whose headers are its attributes.
pub(crate) fn from_message(body: &[u8], headers: &Headers) -> Result<RawEvent, DecodeError> {
    let mut attributes = Attributes::default();
    for (header, value) in headers.iter() {
        let Some(name) = attribute(header) else { continue };
        let text = match text(value, READ.contains(&name)) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(reason) => return Err(refuse(format_args!("header {header:?} {reason}"))),
        };
        let value = serde_json::value::to_raw_value(&text).map_err(refuse)?;
        attributes.insert(name.to_owned(), value).map_err(refuse)?;
    }
    attributes.take("datacontenttype");
    let data = if body.is_empty() {
        RawValue::NULL.to_owned()
    } else {
        serde_json::from_slice(body).map_err(|error| refuse(format_args!("the data is no JSON: {error}")))?
    };
    attributes.into_event(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> RawEvent {
        let json = br#"{"id":"evt_1","type":"user.created","source":"auth-service","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{"a":1},"metadata":{"version":"1.2"},"tenant":"acme"}"#;
        RawEvent::from_json(json).unwrap()
    }

    #[test]
    fn an_event_is_headers_and_data_and_back() {
        let event = event();
        let mut written = Headers::default();
        headers(&event, &mut written);
        assert_eq!(written.text("cloudEvents_type"), Some("user.created"));
        assert_eq!(written.text("cloudEvents_tenant"), Some("acme"));
        assert!(is_binary(&written));
        let back = from_message(event.data.get().as_bytes(), &written).unwrap();
        assert_eq!(back.to_json().unwrap(), event.to_json().unwrap());
    }

    #[test]
    fn either_prefix_is_read() {
        let mut headers = Headers::default();
        for (name, value) in [("specversion", "1.0"), ("id", "1"), ("source", "/a"), ("type", "b")] {
            headers.set(format!("cloudEvents:{name}"), value.to_owned());
        }
        headers.set("other", 7);
        assert_eq!(from_message(b"", &headers).unwrap().event_type, "b");
        headers.set("cloudEvents_id", "2".to_owned());
        assert!(from_message(b"", &headers).unwrap_err().to_string().contains("\"id\" is given twice"));
    }

    #[test]
    fn attributes_may_have_types_of_amqp() {
        let mut written = Headers::default();
        headers(&event(), &mut written);
        written.set("cloudEvents_time", HeaderValue::Timestamp(1_747_679_400));
        written.set("cloudEvents_digest", HeaderValue::Other(b"x\0\0\0\x02\xff\xfe".to_vec()));
        written.set("cloudEvents_void", HeaderValue::Other(b"V".to_vec()));
        // What nobody here reads buries no event.
        written.set("cloudEvents_list", HeaderValue::Other(b"A\0\0\0\0".to_vec()));
        written.set("cloudEvents_late", HeaderValue::Timestamp(u64::MAX));
        let event = from_message(b"1", &written).unwrap();
        assert_eq!((event.extensions.get("list"), event.extensions.get("late")), (None, None));
        assert_eq!(event.timestamp.to_string(), "2025-05-19T18:30:00.000Z");
        assert_eq!((event.extensions.get("digest"), event.extensions.get("void")), (Some("\"//4=\""), None));
        for (value, named) in [
            (HeaderValue::Other(b"F\0\0\0\0".to_vec()), "\"cloudEvents_time\" is a table"),
            (HeaderValue::Timestamp(u64::MAX), "\"cloudEvents_time\" is a time beyond"),
            (HeaderValue::Other(b"S\0\0\0\x01\xff".to_vec()), "\"cloudEvents_time\" holds bytes"),
        ] {
            written.set("cloudEvents_time", value);
            let error = from_message(b"1", &written).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn data_that_is_no_json_is_refused() {
        let mut written = Headers::default();
        headers(&event(), &mut written);
        assert!(from_message(b"<a/>", &written).unwrap_err().to_string().contains("no JSON"));
    }
}
