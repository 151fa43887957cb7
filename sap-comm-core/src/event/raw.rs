use serde_json::value::RawValue;

use super::{Event, EventPayload, read};

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
        if let Some(event) = str::from_utf8(bytes).ok().and_then(read::event) {
            return Ok(event);
        }
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Envelope { reason: error.to_string() })
    }

    /// Parses the payload.
    ///
    /// # Errors
    /// When the type differs, the major version differs, or `data` does not fit.
    pub fn decode<T: EventPayload>(self) -> Result<Event<T>, DecodeError> {
        if self.event_type != T::TYPE {
            return Err(DecodeError::Type { expected: T::TYPE, found: self.event_type.into() });
        }
        if major(&self.metadata.version) != major(T::VERSION) {
            let found = self.metadata.version.into();
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
        match Self::from_json_of_type(bytes) {
            Some(event) => Ok(event),
            // What is wrong is said best by looking at the envelope first.
            None => RawEvent::from_json(bytes)?.decode(),
        }
    }

    /// Like [`Event::from_json`], for whoever has something else in mind for all other events: `None` costs one pass too.
    #[must_use]
    pub fn from_json_of_type(bytes: &[u8]) -> Option<Self> {
        // Text is checked once as a whole, and not string by string.
        let json = str::from_utf8(bytes).ok()?;
        let event: Self = read::event(json).or_else(|| serde_json::from_str(json).ok())?;
        (event.event_type == T::TYPE && major(&event.metadata.version) == major(T::VERSION)).then_some(event)
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
