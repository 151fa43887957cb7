use std::cell::Cell;

use bytes::Bytes;
use sap_comm_core::{DecodeError, Event, RawEvent};
use serde::{Deserialize, Serialize};

use super::Message;
use crate::cloud_events;

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
    /// Nothing that can be read.
    #[cfg_attr(not(any(test, feature = "rabbitmq")), expect(dead_code, reason = "only others send it"))]
    Unsupported(Box<Unsupported>),
}

/// What a message that cannot be read says it is; kept for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Event(EventFormat::Envelope)
    }
}

impl EventFormat {
    /// What the body of an event's message is, in memory of its exact size.
    pub(crate) fn body<T: Serialize>(self, event: &Event<T>) -> Result<Bytes, DecodeError> {
        match self {
            Self::Envelope => exact(|buffer| event.write_json(buffer)),
            Self::CloudEventsStructured => cloud_events::to_json(event).map(Into::into),
            Self::CloudEventsBinary => {
                cloud_events::check(event)?;
                data(event)
            }
        }
    }
}

/// The payload alone.
fn data<T: Serialize>(event: &Event<T>) -> Result<Bytes, DecodeError> {
    exact(|buffer| {
        let written = serde_json::to_writer(buffer, &event.data);
        written.map_err(|error| DecodeError::Encode { reason: error.to_string() })
    })
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
        if let Some(event) = self.unwritten() {
            return event;
        }
        match &self.content {
            Content::Event(EventFormat::Envelope) => RawEvent::from_json(self.body()),
            Content::Event(EventFormat::CloudEventsStructured) => cloud_events::from_json(self.body()),
            Content::Event(EventFormat::CloudEventsBinary) => cloud_events::from_message(self.body(), &self.headers),
            Content::Unsupported(unsupported) => {
                let Unsupported { content_type, content_encoding } = &**unsupported;
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
