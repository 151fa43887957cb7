use std::cell::Cell;

use bytes::Bytes;
use sap_comm_core::{DecodeError, Event, RawEvent};
use serde::{Deserialize, Serialize};

use super::Message;
use crate::cloud_events;
#[cfg(any(test, feature = "rabbitmq"))]
use crate::message::Headers;

/// How an event is written into a message. Consumers take them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventFormat {
    /// The specification's envelope.
    #[default]
    Envelope,
    /// The JSON of a CloudEvent.
    CloudEventsStructured,
    /// The payload as the body, and the attributes of a CloudEvent as headers `cloudEvents_…`.
    CloudEventsBinary,
}

/// What a message's properties say about its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Event(EventFormat),
    /// Nothing that can be read; both are kept for a copy.
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Unsupported {
        content_type: Option<String>,
        content_encoding: Option<String>,
    },
}

/// What JSON is called, by those who say nothing about it too.
#[cfg(any(test, feature = "rabbitmq"))]
const JSON: [&str; 4] = ["application/json", "", "text/json", "application/octet-stream"];
/// The content encodings that leave JSON as it is.
#[cfg(any(test, feature = "rabbitmq"))]
const PLAIN: [&str; 5] = ["utf-8", "", "utf8", "identity", "us-ascii"];

impl Default for Content {
    fn default() -> Self {
        Self::Event(EventFormat::Envelope)
    }
}

#[cfg(any(test, feature = "rabbitmq"))]
impl Content {
    /// What the properties of a foreign message mean. What says nothing is taken for JSON.
    pub(crate) fn of(content_type: Option<&str>, content_encoding: Option<&str>, headers: &Headers) -> Self {
        let unsupported = || Self::Unsupported {
            content_type: content_type.map(str::to_owned),
            content_encoding: content_encoding.map(str::to_owned),
        };
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !is_one_of(content_encoding.unwrap_or_default().trim(), &PLAIN) {
            unsupported()
        } else if media_type.eq_ignore_ascii_case(cloud_events::CONTENT_TYPE) {
            Self::Event(EventFormat::CloudEventsStructured)
        } else if !is_one_of(media_type, &JSON) {
            unsupported()
        } else if cloud_events::is_binary(headers) {
            Self::Event(EventFormat::CloudEventsBinary)
        } else {
            Self::Event(EventFormat::Envelope)
        }
    }

    /// The content type and the content encoding to send.
    pub(crate) fn properties(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Event(EventFormat::CloudEventsStructured) => (Some(cloud_events::CONTENT_TYPE), Some("utf-8")),
            Self::Event(_) => (Some("application/json"), Some("utf-8")),
            Self::Unsupported { content_type, content_encoding } => {
                (content_type.as_deref(), content_encoding.as_deref())
            }
        }
    }
}

#[cfg(any(test, feature = "rabbitmq"))]
fn is_one_of(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl EventFormat {
    /// What the body of an event's message is, in memory of its exact size.
    pub(crate) fn body<T: Serialize>(self, event: &Event<T>) -> Result<Bytes, DecodeError> {
        match self {
            Self::Envelope => exact(|buffer| event.write_json(buffer)),
            Self::CloudEventsStructured => cloud_events::to_json(event).map(Into::into),
            Self::CloudEventsBinary => exact(|buffer| {
                let written = serde_json::to_writer(buffer, &event.data);
                written.map_err(|error| DecodeError::Encode { reason: error.to_string() })
            }),
        }
    }
}

thread_local! {
    /// Where events are written before their size is known.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A larger buffer is not kept.
const KEPT: usize = 64 << 10;

fn exact(write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>) -> Result<Bytes, DecodeError> {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let body = write(&mut buffer).map(|()| Bytes::copy_from_slice(&buffer));
    if buffer.capacity() <= KEPT {
        BUFFER.set(buffer);
    }
    body
}

impl Message {
    /// The event of this message.
    pub(crate) fn event(&self) -> Result<RawEvent, DecodeError> {
        match &self.content {
            Content::Event(EventFormat::Envelope) => RawEvent::from_json(&self.body),
            Content::Event(EventFormat::CloudEventsStructured) => cloud_events::from_json(&self.body),
            Content::Event(EventFormat::CloudEventsBinary) => cloud_events::from_message(&self.body, &self.headers),
            Content::Unsupported { content_type, content_encoding } => {
                let (content_type, encoding) = (content_type.as_deref(), content_encoding.as_deref());
                let reason = format!(
                    "content type {:?} with content encoding {:?} is not supported",
                    content_type.unwrap_or_default(),
                    encoding.unwrap_or_default()
                );
                Err(DecodeError::Envelope { reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_tell_the_format() {
        let of = |content_type, encoding| Content::of(content_type, encoding, &Headers::default());
        let envelope = Content::Event(EventFormat::Envelope);
        for content_type in [None, Some(""), Some("application/json"), Some("Application/JSON; charset=utf-8")] {
            assert_eq!(of(content_type, None), envelope, "{content_type:?}");
        }
        assert_eq!(of(None, Some("UTF-8")), envelope);
        let structured = Content::Event(EventFormat::CloudEventsStructured);
        assert_eq!(of(Some("application/cloudevents+json; charset=utf-8"), None), structured);
        let mut headers = Headers::default();
        headers.set("cloudEvents_specversion", "1.0".to_owned());
        let binary = Content::of(Some("application/json"), None, &headers);
        assert_eq!(binary, Content::Event(EventFormat::CloudEventsBinary));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_kept() {
        let xml = Content::of(Some("text/xml"), None, &Headers::default());
        assert_eq!(xml.properties(), (Some("text/xml"), None));
        let message = Message { content: xml, ..Message::default() };
        assert!(message.event().unwrap_err().to_string().contains("text/xml"));
        let gzip = Content::of(Some("application/json"), Some("gzip"), &Headers::default());
        let message = Message { content: gzip, ..Message::default() };
        assert!(message.event().unwrap_err().to_string().contains("gzip"));
    }
}
