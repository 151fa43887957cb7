use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, Visitor},
};

/// Reads a field's name: `Ok` for one of those known, which is not copied.
pub(super) struct Field(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Result<&'static str, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Field {
    type Value = Result<&'static str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|name| **name == text).copied().ok_or_else(|| text.to_owned()))
    }
}
