//! Old versions of a payload, made new.

use std::{collections::HashMap, sync::Arc};

use sap_comm_core::{DecodeError, Event, EventPayload, RawEvent};

/// Makes an event's `data` that of a later version.
type Upcast = Arc<dyn Fn(RawEvent) -> Result<RawEvent, DecodeError> + Send + Sync>;

/// The steps from each version that is known, by type and major version.
#[derive(Clone, Default)]
pub(super) struct Upcasts(HashMap<(&'static str, u32), Upcast>);

impl Upcasts {
    pub(super) fn add<Old, New>(&mut self, upcast: impl Fn(Old) -> New + Send + Sync + 'static)
    where
        Old: EventPayload,
        New: EventPayload,
    {
        const {
            assert!(same(Old::TYPE, New::TYPE), "an upcast leads to a later version of the same event type");
            assert!(major(Old::VERSION) < major(New::VERSION), "an upcast leads to a later major version");
        }
        let step = move |event: RawEvent| {
            let event: Event<Old> = event.decode()?;
            let mut event = event.map(&upcast);
            event.metadata.version = New::VERSION.into();
            event.into_raw()
        };
        self.0.insert((Old::TYPE, major(Old::VERSION)), Arc::new(step));
    }

    /// The event in major version `wanted`, or in the last that leads there.
    pub(super) fn apply(
        &self,
        mut event: RawEvent,
        event_type: &'static str,
        wanted: u32,
    ) -> Result<RawEvent, DecodeError> {
        // Each step leads to a later version, so this ends.
        loop {
            let version = major(&event.metadata.version);
            match self.0.get(&(event_type, version)) {
                Some(upcast) if version < wanted => event = upcast(event)?,
                _ => return Ok(event),
            }
        }
    }
}

/// Reads a payload; a `lenient` reader takes every version for its own, and the event keeps the one that it has.
pub(super) fn decode<T: EventPayload>(mut event: RawEvent, lenient: bool) -> Result<Event<T>, DecodeError> {
    if !lenient {
        return event.decode();
    }
    let version = std::mem::replace(&mut event.metadata.version, T::VERSION.into());
    let mut event = event.decode::<T>()?;
    event.metadata.version = version;
    Ok(event)
}

/// The number before the first dot. What is no number is a version that nobody knows.
pub(super) const fn major(version: &str) -> u32 {
    let (bytes, mut at, mut number) = (version.as_bytes(), 0, 0_u32);
    while at < bytes.len() && bytes[at] != b'.' {
        if !bytes[at].is_ascii_digit() {
            return u32::MAX;
        }
        number = number.saturating_mul(10).saturating_add((bytes[at] - b'0') as u32);
        at += 1;
    }
    if at == 0 { u32::MAX } else { number }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_major_version_is_the_number_before_the_dot() {
        for (version, number) in
            [("1.0", 1), ("12.3", 12), ("3", 3), ("", u32::MAX), ("v1.0", u32::MAX), (".1", u32::MAX)]
        {
            assert_eq!(major(version), number, "{version:?}");
        }
        assert_eq!(major("99999999999.0"), u32::MAX);
    }
}
