//! The envelope as JSON: what its [`Serialize`] writes, quicker where there is nothing to escape.

use serde::Serialize;
use serde_json::Result;

use super::{Event, Extensions};

/// Appends the JSON of an event.
pub(super) fn event<T: Serialize>(event: &Event<T>, json: &mut Vec<u8>) -> Result<()> {
    for (field, value) in [("{\"id\":", &event.id), (",\"type\":", &event.event_type), (",\"source\":", &event.source)]
    {
        json.extend_from_slice(field.as_bytes());
        text(value, json)?;
    }
    json.extend_from_slice(b",\"timestamp\":");
    serde_json::to_writer(&mut *json, &event.timestamp)?;
    json.extend_from_slice(b",\"correlationId\":");
    text(&event.correlation_id, json)?;
    json.extend_from_slice(b",\"data\":");
    serde_json::to_writer(&mut *json, &event.data)?;
    json.extend_from_slice(b",\"metadata\":{\"version\":");
    text(&event.metadata.version, json)?;
    if let Some(user_id) = &event.metadata.user_id {
        json.extend_from_slice(b",\"userId\":");
        text(user_id, json)?;
    }
    extensions(&event.metadata.extensions, &super::envelope::OF_METADATA, json)?;
    json.push(b'}');
    extensions(&event.extensions, &super::envelope::FIELDS, json)?;
    json.push(b'}');
    Ok(())
}

fn extensions(extensions: &Extensions, known: &[&str], json: &mut Vec<u8>) -> Result<()> {
    for (name, value) in extensions.iter().filter(|(name, _)| !known.contains(name)) {
        json.push(b',');
        text(name, json)?;
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    Ok(())
}

fn text(text: &str, json: &mut Vec<u8>) -> Result<()> {
    // Without a branch a byte, so that many are looked at together.
    let is_plain = |plain, byte: u8| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    if !text.bytes().fold(true, is_plain) {
        return serde_json::to_writer(json, text);
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::{RawValue, to_raw_value};

    use super::*;
    use crate::{Metadata, Timestamp};

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
