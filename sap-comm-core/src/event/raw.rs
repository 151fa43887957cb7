use serde_json::value::RawValue;

use super::{Event, EventPayload};

/// An event whose `data` is still JSON text: routed and stored without being parsed.
pub type RawEvent = Event<Box<RawValue>>;

/// Why bytes are not the event that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not an event envelope.
    #[error("not an event: {reason}")]
    Envelope {
        /// What the parser met, with line and column.
        reason: String,
    },
    /// The event is of another type.
    #[error("expected an event of type {expected:?}, got {found:?}")]
    Type {
        /// The type of the payload asked for.
        expected: &'static str,
        /// The type of the event.
        found: String,
    },
    /// The payload has another major version.
    #[error("event {event_type:?} has version {found:?}; this consumer reads version {expected:?}")]
    Version {
        /// The type of the event.
        event_type: &'static str,
        /// The version of the payload asked for.
        expected: &'static str,
        /// The version of the event.
        found: String,
    },
    /// The `data` does not fit the payload.
    #[error("data of event {event_type:?} is invalid: {reason}")]
    Data {
        /// The type of the event.
        event_type: &'static str,
        /// What the parser met.
        reason: String,
    },
    /// The payload could not be written as JSON.
    #[error("payload cannot be written as JSON: {reason}")]
    Encode {
        /// What the serializer met.
        reason: String,
    },
}

impl RawEvent {
    /// Reads an envelope; `data` is checked to be JSON, and not looked into.
    ///
    /// # Errors
    /// [`DecodeError::Envelope`] for anything but one complete event.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Envelope { reason: error.to_string() })
    }

    /// Parses the payload.
    ///
    /// # Errors
    /// When the type differs, the major version differs, or `data` does not fit.
    pub fn decode<T: EventPayload>(self) -> Result<Event<T>, DecodeError> {
        if self.event_type != T::TYPE {
            return Err(DecodeError::Type { expected: T::TYPE, found: self.event_type });
        }
        if major(&self.metadata.version) != major(T::VERSION) {
            let found = self.metadata.version;
            return Err(DecodeError::Version { event_type: T::TYPE, expected: T::VERSION, found });
        }
        let data = serde_json::from_str(self.data.get())
            .map_err(|error| DecodeError::Data { event_type: T::TYPE, reason: error.to_string() })?;
        Ok(self.map(|_| data))
    }
}

impl<T: EventPayload> Event<T> {
    /// Reads a whole event of this payload: [`RawEvent::from_json`] and [`RawEvent::decode`], in one pass.
    ///
    /// # Errors
    /// As those two.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(event) if event.event_type == T::TYPE && major(&event.metadata.version) == major(T::VERSION) => {
                Ok(event)
            }
            // What is wrong is said best by looking at the envelope first.
            _ => RawEvent::from_json(bytes)?.decode(),
        }
    }
}

impl<T> Event<T> {
    /// The same envelope around other data.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Event<U> {
        Event {
            id: self.id,
            event_type: self.event_type,
            source: self.source,
            timestamp: self.timestamp,
            correlation_id: self.correlation_id,
            data: f(self.data),
            metadata: self.metadata,
            extensions: self.extensions,
        }
    }
}

impl<T: serde::Serialize> Event<T> {
    /// Writes the payload as JSON and keeps the envelope.
    ///
    /// # Errors
    /// [`DecodeError::Encode`] when the payload's own `Serialize` fails.
    pub fn into_raw(self) -> Result<RawEvent, DecodeError> {
        let data = serde_json::value::to_raw_value(&self.data)
            .map_err(|error| DecodeError::Encode { reason: error.to_string() })?;
        Ok(self.map(|_| data))
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}
