use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::{DecodeError, EventPayload, Extensions, field::Field, write};
use crate::{Context, Name, PrincipalKind, Timestamp, id};

/// An event in the envelope that every service shares, whatever its language.
///
/// Its JSON has the specification's fields in the specification's order; fields that this version does not know are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<T> {
    /// Unique id; the same event delivered twice has the same id.
    pub id: Name,
    /// The type and routing key, such as `user.created`.
    pub event_type: Name,
    /// The service that made the event.
    pub source: Name,
    /// When the event was made.
    pub timestamp: Timestamp,
    /// Ties the event to the request that caused it.
    pub correlation_id: Name,
    /// The payload.
    pub data: T,
    /// Version of the payload, and the user who caused the event.
    pub metadata: Metadata,
    /// Unknown top-level fields, kept on the way through.
    pub extensions: Extensions,
}

/// The `metadata` of an event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// Version of the payload, `major.minor`.
    pub version: Name,
    /// The user who caused the event.
    pub user_id: Option<Name>,
    /// Unknown metadata fields, kept on the way through.
    pub extensions: Extensions,
}

impl<T: EventPayload> Event<T> {
    /// Makes an event, caused by the current [`Context`]: its correlation id is taken over, and its principal if that is
    /// a user.
    pub fn new(source: impl Into<Name>, data: T) -> Self {
        match Context::try_current() {
            Some(context) => Self::caused_by(&context, source, data),
            None => Self::of(id::request(), None, source.into(), data),
        }
    }

    /// Makes an event that `context` causes, as [`Event::new`] does for the current one.
    pub fn caused_by(context: &Context, source: impl Into<Name>, data: T) -> Self {
        let user = context.principal().filter(|principal| principal.kind == PrincipalKind::User);
        let user_id = user.map(|user| Name::from(&user.id));
        Self::of(context.correlation_id().into(), user_id, source.into(), data)
    }

    fn of(correlation_id: Name, user_id: Option<Name>, source: Name, data: T) -> Self {
        let timestamp = Timestamp::now();
        Self {
            id: id::event_at(timestamp),
            event_type: T::TYPE.into(),
            source,
            timestamp,
            correlation_id,
            data,
            metadata: Metadata { version: T::VERSION.into(), user_id, extensions: Extensions::default() },
            extensions: Extensions::default(),
        }
    }
}

impl<T: Serialize> Event<T> {
    /// The JSON of the whole event.
    ///
    /// # Errors
    /// When the payload's own `Serialize` fails.
    pub fn to_json(&self) -> Result<Vec<u8>, DecodeError> {
        let mut json = Vec::with_capacity(USUAL);
        self.write_json(&mut json)?;
        Ok(json)
    }

    /// Appends the JSON of the whole event, for buffers that are used again.
    ///
    /// # Errors
    /// When the payload's own `Serialize` fails; `json` may hold a part then.
    pub fn write_json(&self, json: &mut Vec<u8>) -> Result<(), DecodeError> {
        write::event(self, json).map_err(|error| DecodeError::Encode { reason: error.to_string() })
    }
}

/// Most events fit, so that their buffer does not grow.
const USUAL: usize = 512;

impl<T: Serialize> Serialize for Event<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", &self.event_type)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.serialize_entry("correlationId", &self.correlation_id)?;
        map.serialize_entry("data", &self.data)?;
        map.serialize_entry("metadata", &self.metadata)?;
        for (name, value) in self.extensions.iter().filter(|(name, _)| !FIELDS.contains(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &self.version)?;
        if let Some(user_id) = &self.user_id {
            map.serialize_entry("userId", user_id)?;
        }
        for (name, value) in self.extensions.iter().filter(|(name, _)| !OF_METADATA.contains(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

pub(super) const FIELDS: [&str; 7] = ["id", "type", "source", "timestamp", "correlationId", "data", "metadata"];
pub(super) const OF_METADATA: [&str; 2] = ["version", "userId"];

/// The name of a field, known or not.
fn owned(name: Result<&str, String>) -> String {
    name.map_or_else(|unknown| unknown, str::to_owned)
}

/// Reads a field once; a second time is an error that names it.
fn once<'de, A: MapAccess<'de>, V: Deserialize<'de>>(
    slot: &mut Option<V>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(de::Error::duplicate_field(name));
    }
    *slot = Some(map.next_value()?);
    Ok(())
}

fn required<V, E: de::Error>(slot: Option<V>, name: &'static str) -> Result<V, E> {
    slot.ok_or_else(|| E::missing_field(name))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Event<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Event<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut id, mut event_type, mut source, mut timestamp) = (None, None, None, None);
                let (mut correlation_id, mut data, mut metadata) = (None, None, None);
                let mut extensions = Extensions::default();
                while let Some(name) = map.next_key_seed(Field(&FIELDS))? {
                    match name {
                        Ok("id") => once(&mut id, "id", &mut map)?,
                        Ok("type") => once(&mut event_type, "type", &mut map)?,
                        Ok("source") => once(&mut source, "source", &mut map)?,
                        Ok("timestamp") => once(&mut timestamp, "timestamp", &mut map)?,
                        Ok("correlationId") => once(&mut correlation_id, "correlationId", &mut map)?,
                        Ok("data") => once(&mut data, "data", &mut map)?,
                        Ok("metadata") => once(&mut metadata, "metadata", &mut map)?,
                        other => extensions.push(owned(other), map.next_value::<Box<RawValue>>()?),
                    }
                }
                Ok(Event {
                    id: required(id, "id")?,
                    event_type: required(event_type, "type")?,
                    source: required(source, "source")?,
                    timestamp: required(timestamp, "timestamp")?,
                    correlation_id: required(correlation_id, "correlationId")?,
                    data: required(data, "data")?,
                    metadata: required(metadata, "metadata")?,
                    extensions,
                })
            }
        }

        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the metadata object of an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut version, mut user_id) = (None, None::<Option<Name>>);
                let mut extensions = Extensions::default();
                while let Some(name) = map.next_key_seed(Field(&OF_METADATA))? {
                    match name {
                        Ok("version") => once(&mut version, "metadata.version", &mut map)?,
                        Ok("userId") => once(&mut user_id, "metadata.userId", &mut map)?,
                        other => extensions.push(owned(other), map.next_value::<Box<RawValue>>()?),
                    }
                }
                Ok(Metadata { version: required(version, "metadata.version")?, user_id: user_id.flatten(), extensions })
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
