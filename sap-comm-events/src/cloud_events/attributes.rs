use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
};

use sap_comm_core::{DecodeError, Event, Extensions, Metadata, Name, RawEvent, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{CORRELATION_ID, DATA_VERSION, SPEC_VERSION, USER_ID};

/// Fields of the envelope that an extension could be named like.
const ENVELOPE: [&str; 3] = ["timestamp", "correlationId", "metadata"];

/// The attributes that say something to this crate; all others are extensions.
pub(super) const READ: [&str; 9] =
    ["specversion", "id", "source", "type", "time", "datacontenttype", CORRELATION_ID, DATA_VERSION, USER_ID];

/// The attributes of a CloudEvent as JSON values; a name occurs once.
#[derive(Debug, Default)]
pub(super) struct Attributes(BTreeMap<String, Box<RawValue>>);

pub(super) fn refuse(reason: impl fmt::Display) -> DecodeError {
    DecodeError::Envelope { reason: format!("CloudEvents: {reason}") }
}

/// Sees that an event has what a CloudEvent must have, which is never empty.
pub(crate) fn check<T>(event: &Event<T>) -> Result<(), DecodeError> {
    let parts = [("id", &event.id), ("source", &event.source), ("type", &event.event_type)];
    match parts.into_iter().find(|(_, text)| text.is_empty()) {
        Some((name, _)) => {
            Err(DecodeError::Encode { reason: format!("CloudEvents: attribute {name:?} would be empty") })
        }
        None => Ok(()),
    }
}

/// The attributes of an event in the order of the specification; `add` gets each name and its text. What may be absent is so where
/// it is empty.
pub(super) fn of_event<T>(event: &Event<T>, mut add: impl FnMut(&str, &str)) {
    add("specversion", SPEC_VERSION);
    add("id", &event.id);
    add("source", &event.source);
    add("type", &event.event_type);
    add("time", &event.timestamp.to_string());
    let user_id = event.metadata.user_id.as_deref().unwrap_or_default();
    for (name, text) in
        [(CORRELATION_ID, &*event.correlation_id), (DATA_VERSION, &*event.metadata.version), (USER_ID, user_id)]
    {
        if !text.is_empty() {
            add(name, text);
        }
    }
}

/// The unknown fields that may be extensions, by the rules for names; a name occurs once, as it must.
pub(super) fn extensions<T>(event: &Event<T>) -> impl Iterator<Item = (&str, &RawValue)> {
    let mut seen = BTreeSet::new();
    event.extensions.iter().filter(move |(name, _)| is_extension(name) && seen.insert(*name))
}

/// Whether CloudEvents allows an extension of that name: lower-case letters and digits, and no name of its own.
fn is_extension(name: &str) -> bool {
    const OWN: [&str; 12] = [
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "datacontenttype",
        "dataschema",
        "data",
        CORRELATION_ID,
        DATA_VERSION,
        USER_ID,
    ];
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !OWN.contains(&name)
}

impl Attributes {
    pub(super) fn insert(&mut self, name: String, value: Box<RawValue>) -> Result<(), String> {
        match self.0.entry(name) {
            Entry::Occupied(own) => Err(format!("attribute {:?} is given twice", own.key())),
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
        }
    }

    /// Takes an attribute out; one that is `null` is absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name).filter(|value| value.get() != "null")
    }

    pub(super) fn take_text(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match serde_json::from_str::<String>(value.get()) {
            Ok(text) if text.is_empty() => Err(refuse(format_args!("attribute {name:?} is empty"))),
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(refuse(format_args!("attribute {name:?} is no string"))),
        }
    }

    /// An extension; one that is empty says nothing.
    fn extension(&mut self, name: &str) -> Result<Option<Name>, DecodeError> {
        match self.0.get(name) {
            Some(value) if value.get() == "\"\"" => Ok(self.0.remove(name).and(None)),
            _ => Ok(self.take_text(name)?.map(Name::from)),
        }
    }

    fn required(&mut self, name: &str) -> Result<String, DecodeError> {
        self.take_text(name)?.ok_or_else(|| refuse(format_args!("attribute {name:?} is missing")))
    }

    /// The event that these attributes describe; those without a place of their own become extensions.
    pub(super) fn into_event(mut self, data: Box<RawValue>) -> Result<RawEvent, DecodeError> {
        let version = self.required("specversion")?;
        if version != SPEC_VERSION {
            return Err(refuse(format_args!("specversion {version:?} is not supported, only {SPEC_VERSION:?}")));
        }
        let id = Name::from(self.required("id")?);
        let (source, event_type) = (self.required("source")?.into(), self.required("type")?.into());
        let timestamp = match self.take_text("time")? {
            Some(time) => time.parse().map_err(|error| refuse(format_args!("attribute \"time\": {error}")))?,
            None => Timestamp::now(),
        };
        let correlation_id = self.extension(CORRELATION_ID)?.unwrap_or_else(|| id.clone());
        let version = self.extension(DATA_VERSION)?.unwrap_or_else(|| "1.0".into());
        let user_id = self.extension(USER_ID)?;
        // Distinct, since no name of an attribute has a hyphen.
        let named = |name: String| if ENVELOPE.contains(&name.as_str()) { format!("ce-{name}") } else { name };
        let extensions = self.0.into_iter().map(|(name, value)| (named(name), value)).collect();
        let metadata = Metadata { version, user_id, extensions: Extensions::default() };
        Ok(Event { id, event_type, source, timestamp, correlation_id, data, metadata, extensions })
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the JSON object of a CloudEvent")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut attributes = Attributes::default();
                while let Some((name, value)) = map.next_entry()? {
                    attributes.insert(name, value).map_err(de::Error::custom)?;
                }
                Ok(attributes)
            }
        }

        deserializer.deserialize_map(Object)
    }
}
