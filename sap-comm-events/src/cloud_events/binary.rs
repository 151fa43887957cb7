use sap_comm_core::{DecodeError, Event, RawEvent};
use serde_json::value::RawValue;

use super::{
    Attributes,
    attributes::{extensions, of_event, refuse},
};
use crate::message::{HeaderValue, Headers};

/// What the headers begin with, and what the binding for AMQP 1.0 also allows.
const PREFIXES: [&str; 2] = ["cloudEvents_", "cloudEvents:"];

fn attribute(header: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix))
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
        let text = match value {
            HeaderValue::Text(text) => text.clone(),
            HeaderValue::Int(number) => number.to_string(),
            HeaderValue::Bool(value) => value.to_string(),
            HeaderValue::Float(number) => number.to_string(),
            // No attribute has such a type.
            HeaderValue::Other(_) => continue,
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
    fn data_that_is_no_json_is_refused() {
        let mut written = Headers::default();
        headers(&event(), &mut written);
        assert!(from_message(b"<a/>", &written).unwrap_err().to_string().contains("no JSON"));
    }
}
