use base64::{Engine, prelude::BASE64_STANDARD};
use sap_comm_core::{DecodeError, Event, RawEvent};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use super::{
    Attributes,
    attributes::{check, extensions, of_event, refuse},
};

/// The event as the JSON of a CloudEvent.
///
/// # Errors
/// [`DecodeError::Encode`] when the payload's own `Serialize` fails, or the id, the source or the type is empty.
pub fn to_json<T: Serialize>(event: &Event<T>) -> Result<Vec<u8>, DecodeError> {
    check(event)?;
    serde_json::to_vec(&Structured(event)).map_err(|error| DecodeError::Encode { reason: error.to_string() })
}

/// Reads the JSON of a CloudEvent.
///
/// Without `time` the event is of now, without `correlationid` it is its own cause, without `dataversion` it is `1.0`.
///
/// # Errors
/// [`DecodeError::Envelope`] names the attribute that is missing or malformed.
pub fn from_json(bytes: &[u8]) -> Result<RawEvent, DecodeError> {
    let mut attributes: Attributes = serde_json::from_slice(bytes).map_err(refuse)?;
    attributes.take("datacontenttype");
    let data = match (attributes.take("data"), attributes.take_text("data_base64")?) {
        (Some(_), Some(_)) => return Err(refuse("both \"data\" and \"data_base64\" are given")),
        (Some(data), None) => data,
        (None, Some(encoded)) => decoded(&encoded)?,
        (None, None) => RawValue::NULL.to_owned(),
    };
    attributes.into_event(data)
}

fn decoded(encoded: &str) -> Result<Box<RawValue>, DecodeError> {
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|error| refuse(format_args!("\"data_base64\": {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| refuse(format_args!("\"data_base64\" holds no JSON: {error}")))
}

struct Structured<'a, T>(&'a Event<T>);

impl<T: Serialize> Serialize for Structured<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(event) = self;
        let mut map = serializer.serialize_map(None)?;
        let mut added = Ok(());
        of_event(event, |name, text| {
            if added.is_ok() {
                added = map.serialize_entry(name, text);
            }
        });
        added?;
        for (name, value) in extensions(event).filter(|(_, value)| is_scalar(value)) {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("datacontenttype", "application/json")?;
        map.serialize_entry("data", &event.data)?;
        map.end()
    }
}

/// A string, a boolean or an integer of 32 bits, as an attribute may be.
fn is_scalar(value: &RawValue) -> bool {
    let text = value.get();
    text.starts_with('"') || matches!(text, "true" | "false") || text.parse::<i32>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = r#"{"id":"evt_1","type":"user.created","source":"auth-service","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{"email":"a@example.com"},"metadata":{"version":"1.2","userId":"usr_1"},"tenant":"acme","Not.Allowed":1,"nested":{}}"#;

    #[test]
    fn an_event_is_a_cloud_event_and_back() {
        let event = RawEvent::from_json(ENVELOPE.as_bytes()).unwrap();
        let json = String::from_utf8(to_json(&event).unwrap()).unwrap();
        assert_eq!(
            json,
            r#"{"specversion":"1.0","id":"evt_1","source":"auth-service","type":"user.created","time":"2025-05-19T18:30:00.000Z","correlationid":"req_1","dataversion":"1.2","userid":"usr_1","tenant":"acme","datacontenttype":"application/json","data":{"email":"a@example.com"}}"#
        );
        let back = from_json(json.as_bytes()).unwrap();
        assert_eq!((&back.id, &back.event_type, &back.source), (&event.id, &event.event_type, &event.source));
        assert_eq!((back.timestamp, &back.correlation_id), (event.timestamp, &event.correlation_id));
        assert_eq!((back.data.get(), &back.metadata), (event.data.get(), &event.metadata));
        assert_eq!(back.extensions.get("tenant"), Some("\"acme\""));
    }

    #[test]
    fn what_is_empty_is_left_out_or_refused() {
        let mut event = RawEvent::from_json(ENVELOPE.as_bytes()).unwrap();
        event.correlation_id = "".into();
        event.metadata.version = "".into();
        event.metadata.user_id = Some("".into());
        let back = from_json(&to_json(&event).unwrap()).unwrap();
        assert_eq!((back.correlation_id.as_str(), back.metadata.version.as_str()), ("evt_1", "1.0"));
        assert_eq!(back.metadata.user_id, None);
        let theirs = br#"{"specversion":"1.0","id":"1","source":"/a","type":"b","correlationid":"","dataversion":"","userid":""}"#;
        let theirs = from_json(theirs).unwrap();
        assert_eq!((theirs.correlation_id.as_str(), theirs.metadata.user_id), ("1", None));
        event.source = "".into();
        let error = to_json(&event).unwrap_err();
        assert!(matches!(&error, DecodeError::Encode { reason } if reason.contains("\"source\"")), "{error}");
    }

    #[test]
    fn an_unknown_field_that_came_twice_is_one_extension() {
        let twice = ENVELOPE.replace(r#""tenant":"acme""#, r#""tenant":"acme","tenant":"other""#);
        let event = RawEvent::from_json(twice.as_bytes()).unwrap();
        let back = from_json(&to_json(&event).unwrap()).unwrap();
        assert_eq!(back.extensions.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["tenant"]);
    }

    #[test]
    fn the_least_cloud_event_is_one() {
        let event = from_json(br#"{"specversion":"1.0","id":"1","source":"/a","type":"b","time":null}"#).unwrap();
        assert_eq!((event.correlation_id.as_str(), event.metadata.version.as_str()), ("1", "1.0"));
        assert_eq!((event.data.get(), event.metadata.user_id), ("null", None));
    }

    #[test]
    fn base64_may_hold_json() {
        let json = br#"{"specversion":"1.0","id":"1","source":"/a","type":"b","data_base64":"eyJhIjoxfQ=="}"#;
        assert_eq!(from_json(json).unwrap().data.get(), r#"{"a":1}"#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, named) in [
            (r#"{"id":"1","source":"/a","type":"b"}"#, "\"specversion\" is missing"),
            (r#"{"specversion":"0.3","id":"1","source":"/a","type":"b"}"#, "\"0.3\" is not supported"),
            (r#"{"specversion":"1.0","id":"","source":"/a","type":"b"}"#, "\"id\" is empty"),
            (r#"{"specversion":"1.0","id":"1","id":"2","source":"/a","type":"b"}"#, "\"id\" is given twice"),
            (r#"{"specversion":"1.0","id":"1","source":7,"type":"b"}"#, "\"source\" is no string"),
            (r#"{"specversion":"1.0","id":"1","source":"/a","type":"b","time":"noon"}"#, "\"time\""),
            (r#"{"specversion":"1.0","id":"1","source":"/a","type":"b","data":1,"data_base64":"MQ=="}"#, "both"),
            (r#"{"specversion":"1.0","id":"1","source":"/a","type":"b","data_base64":"/////w=="}"#, "no JSON"),
            (r#"[{"specversion":"1.0"}]"#, "the JSON object of a CloudEvent"),
            ("", "EOF"),
        ] {
            let error = from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
