//! The envelope as [`write`](super::write) writes it, read without looking for fields one by one.
//!
//! Anything else, valid or not, is for the general reader to judge.

use serde::de::DeserializeOwned;
use serde_json::Deserializer;

use super::{Event, Extensions, Metadata, plain::plain};
use crate::Name;

/// Reads an event that is written field for field as ours are, with nothing escaped in its envelope; `None` for any other.
pub(super) fn event<T: DeserializeOwned>(json: &str) -> Option<Event<T>> {
    let (id, json) = text(json, b"{\"id\":\"")?;
    let (event_type, json) = text(json, b"\",\"type\":\"")?;
    let (source, json) = text(json, b"\",\"source\":\"")?;
    let (timestamp, json) = text(json, b"\",\"timestamp\":\"")?;
    let (correlation_id, json) = text(json, b"\",\"correlationId\":\"")?;
    let json = json.strip_prefix("\",\"data\":")?;
    let mut values = Deserializer::from_str(json).into_iter::<T>();
    let data = values.next()?.ok()?;
    let (version, json) = text(json.get(values.byte_offset()..)?, b",\"metadata\":{\"version\":\"")?;
    let (user_id, json) = match text(json, b"\",\"userId\":\"") {
        Some((user_id, json)) => (Some(user_id), json),
        None => (None, json),
    };
    (json == "\"}}").then_some(())?;
    Some(Event {
        id: id.into(),
        event_type: event_type.into(),
        source: source.into(),
        timestamp: timestamp.parse().ok()?,
        correlation_id: correlation_id.into(),
        data,
        metadata: Metadata {
            version: version.into(),
            user_id: user_id.map(Name::from),
            extensions: Extensions::default(),
        },
        extensions: Extensions::default(),
    })
}

/// The text between `before` and the next quote, and what follows from that on.
fn text<'a, const N: usize>(json: &'a str, before: &[u8; N]) -> Option<(&'a str, &'a str)> {
    let (first, rest) = json.as_bytes().split_first_chunk()?;
    if first != before {
        return None;
    }
    let (text, rest) = json.get(N..)?.split_at_checked(plain(rest))?;
    (rest.as_bytes().first() == Some(&b'"')).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{DecodeError, EventPayload, RawEvent};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct UserCreated {
        email: String,
        age: Option<u8>,
    }

    impl EventPayload for UserCreated {
        const TYPE: &'static str = "user.created";
    }

    const OURS: &str = r#"{"id":"evt_1","type":"user.created","source":"auth","timestamp":"2025-05-19T18:30:00.000Z","correlationId":"req_1","data":{"email":"é@example.com","age":7},"metadata":{"version":"1.0","userId":"usr_1"}}"#;

    fn slowly<T: DeserializeOwned>(json: &str) -> Option<Event<T>> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn what_we_write_is_read_quickly() {
        for json in [OURS.to_owned(), OURS.replace(",\"userId\":\"usr_1\"", "")] {
            let event = event::<UserCreated>(&json).unwrap();
            assert_eq!(Some(&event), slowly(&json).as_ref());
            assert_eq!(event.to_json().unwrap(), json.as_bytes());
        }
    }

    #[test]
    fn data_of_any_shape_is_read() {
        for data in ["7", "-1.5e3", "null", "true", "\"}\"", "[]", "{\"a\":{\"}\":[1]}}"] {
            let json = OURS.replace(r#"{"email":"é@example.com","age":7}"#, data);
            assert_eq!(event::<serde_json::Value>(&json), slowly(&json), "{data}");
            assert!(event::<serde_json::Value>(&json).is_some(), "{data}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_the_general_reader() {
        for (from, to) in [
            ("evt_1", "evt\\u005f1"),
            ("\"id\":", "\"id\": "),
            ("req_1", "req\t1"),
            ("2025-05-19", "yesterday"),
            ("\"}}", "\"}} "),
            ("\"}}", "\"}}}"),
            ("\"}}", "\",\"more\":1}}"),
            ("\"}}", "\"},\"more\":1}"),
            ("\"age\":7", "\"age\":700"),
            ("},\"metadata\"", "}x,\"metadata\""),
        ] {
            let json = OURS.replace(from, to);
            assert_ne!(json, OURS);
            assert_eq!(event::<UserCreated>(&json), None, "{json}");
        }
        let escaped = OURS.replace("evt_1", "evt\\u005f1");
        assert_eq!(Event::<UserCreated>::from_json(escaped.as_bytes()).unwrap().id, "evt_1");
        let broken = OURS.replace("\"age\":7", "\"age\":700");
        let error = Event::<UserCreated>::from_json(broken.as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Data { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn it_never_reads_what_the_general_reader_would_not(at in 0..OURS.len(), byte in any::<u8>()) {
            let mut json = OURS.as_bytes().to_vec();
            json[at] = byte;
            if let Ok(json) = std::str::from_utf8(&json)
                && let Some(quick) = event::<UserCreated>(json)
            {
                prop_assert_eq!(Some(quick), slowly(json));
            }
        }

        #[test]
        fn it_reads_what_the_general_reader_does(email in any::<String>(), age in any::<Option<u8>>(), source in "[^\"\\\\\\p{Cc}]{0,60}") {
            let json = String::from_utf8(Event::new(source, UserCreated { email, age }).to_json().unwrap()).unwrap();
            let quick = event::<UserCreated>(&json);
            prop_assert!(quick.is_some());
            prop_assert_eq!(quick, slowly(&json));
            prop_assert!(RawEvent::from_json(json.as_bytes()).is_ok());
        }
    }
}
