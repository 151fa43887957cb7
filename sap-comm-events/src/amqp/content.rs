use std::borrow::Cow;

use bytes::Bytes;

use super::properties::Properties;

/// A message as it came: exchange, routing key, properties and body, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(super) bytes: Bytes,
    pub(super) ends: Ends,
}

/// Where the parts end; the body goes to the end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ends {
    pub(super) exchange: usize,
    pub(super) routing_key: usize,
    pub(super) properties: usize,
}

impl Content {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(routing_key: &str, properties: &[u8], body: &[u8]) -> Self {
        Self::through("", routing_key, properties, body)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn through(exchange: &str, routing_key: &str, properties: &[u8], body: &[u8]) -> Self {
        let routing_key_end = exchange.len() + routing_key.len();
        let properties_end = routing_key_end + properties.len();
        let ends = Ends { exchange: exchange.len(), routing_key: routing_key_end, properties: properties_end };
        Self { bytes: [exchange.as_bytes(), routing_key.as_bytes(), properties, body].concat().into(), ends }
    }

    pub(crate) fn exchange(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.part(0, self.ends.exchange))
    }

    pub(crate) fn routing_key(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.part(self.ends.exchange, self.ends.routing_key))
    }

    pub(crate) fn properties(&self) -> Properties<'_> {
        Properties::read(self.part(self.ends.routing_key, self.ends.properties))
    }

    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(self.ends.properties.min(self.bytes.len())..)
    }

    fn part(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }
}
