//! The envelope as JSON: what its [`Serialize`] writes, quicker where there is nothing to escape.

use serde::Serialize;
use serde_json::{Result, to_writer};

use super::{Event, plain::plain};

/// Appends the JSON of an event.
pub(super) fn event<T: Serialize>(event: &Event<T>, json: &mut Vec<u8>) -> Result<()> {
    let Event { id, event_type, source, timestamp, correlation_id, data, metadata, extensions } = event;
    let user_id = metadata.user_id.as_deref();
    let mut texts =
        [id, event_type, source, correlation_id, &metadata.version].into_iter().map(|name| &**name).chain(user_id);
    let is_plain = texts.all(|text| plain(text.as_bytes()) == text.len());
    let Some(timestamp) =
        timestamp.usual().filter(|_| is_plain && extensions.is_empty() && metadata.extensions.is_empty())
    else {
        return to_writer(json, event);
    };
    put(
        json,
        &[
            b"{\"id\":\"",
            id.as_bytes(),
            b"\",\"type\":\"",
            event_type.as_bytes(),
            b"\",\"source\":\"",
            source.as_bytes(),
        ],
    );
    put(
        json,
        &[b"\",\"timestamp\":\"", &timestamp, b"\",\"correlationId\":\"", correlation_id.as_bytes(), b"\",\"data\":"],
    );
    to_writer(&mut *json, data)?;
    put(json, &[b",\"metadata\":{\"version\":\"", metadata.version.as_bytes()]);
    if let Some(user_id) = user_id {
        put(json, &[b"\",\"userId\":\"", user_id.as_bytes()]);
    }
    json.extend_from_slice(b"\"}}");
    Ok(())
}

fn put(json: &mut Vec<u8>, parts: &[&[u8]]) {
    json.reserve(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| json.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::{RawValue, to_raw_value};

    use super::*;
    use crate::{Metadata, Timestamp, event::Extensions};

    fn some_extensions() -> impl Strategy<Value = Extensions> {
        proptest::collection::vec((".{0,8}", ".{0,8}"), 0..3).prop_map(|fields| {
            let mut extensions = Extensions::default();
            for (name, value) in fields {
                extensions.insert(name, to_raw_value(&value).unwrap());
            }
            extensions.insert("version".to_owned(), RawValue::NULL.to_owned());
            extensions
        })
    }

    proptest! {
        #[test]
        fn it_is_what_the_serializer_writes(
            texts in any::<[String; 6]>(),
            user_id in any::<Option<String>>(),
            millis in any::<i64>(),
            extensions in some_extensions(),
            of_metadata in some_extensions(),
        ) {
            let [id, event_type, source, correlation_id, data, version] = texts;
            let event = Event {
                id: id.into(),
                event_type: event_type.into(),
                source: source.into(),
                timestamp: Timestamp::from_millis(millis),
                correlation_id: correlation_id.into(),
                data,
                metadata: Metadata {
                    version: version.into(),
                    user_id: user_id.map(Into::into),
                    extensions: of_metadata,
                },
                extensions,
            };
            prop_assert_eq!(String::from_utf8(event.to_json().unwrap()).unwrap(), serde_json::to_string(&event).unwrap());
        }
    }
}
