use std::{borrow::Cow, collections::BTreeMap};

use sap_comm_core::{Context, DecodeError, Event, EventKind, RawEvent, Timestamp};
use serde::Serialize;

use crate::message::header::NOT_CARRIED;

/// An event to be written.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) event_id: String,
    pub(super) exchange: String,
    pub(super) kind: EventKind,
    pub(super) key: Option<String>,
    pub(super) event: String,
    pub(super) context: String,
    pub(super) written_at: Timestamp,
}

/// An event as a relay claims it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: i64,
    pub(super) exchange: String,
    pub(super) kind: String,
    pub(super) key: Option<String>,
    pub(super) event: String,
    pub(super) context: String,
    pub(super) attempts: i64,
}

impl NewEntry {
    pub(super) fn of<T: Serialize>(
        exchange: &str,
        key: Option<&str>,
        event: &Event<T>,
        kind: EventKind,
    ) -> Result<Self, DecodeError> {
        let encode = |reason: String| DecodeError::Encode { reason };
        let json = String::from_utf8(event.to_json()?).map_err(|error| encode(error.to_string()))?;
        let mut context = BTreeMap::new();
        Context::current().inject(|name, value| {
            if !NOT_CARRIED.contains(&name) {
                context.insert(name, value);
            }
        });
        Ok(Self {
            // A foreign id may hold what PostgreSQL takes for the end of a text; the event itself keeps it.
            event_id: event.id.replace('\0', ""),
            exchange: exchange.to_owned(),
            kind,
            key: key.map(str::to_owned),
            event: json,
            context: serde_json::to_string(&context).map_err(|error| encode(error.to_string()))?,
            written_at: Timestamp::now(),
        })
    }
}

impl Entry {
    /// The event and its kind; what the table holds may have been written by another version.
    pub(super) fn event(&self) -> Result<(RawEvent, EventKind), String> {
        let event = RawEvent::from_json(self.event.as_bytes()).map_err(|error| error.to_string())?;
        Ok((event, self.kind.parse()?))
    }

    /// The writer's context. One that cannot be read is no reason to keep the event.
    pub(super) fn context(&self) -> Context {
        let headers: BTreeMap<Cow<'_, str>, String> = serde_json::from_str(&self.context).unwrap_or_default();
        Context::extract_trusted(
            |name| {
                if NOT_CARRIED.contains(&name) { None } else { headers.get(name).map(String::as_str) }
            },
        )
    }
}
