//! A list of durations: a sequence, or text with commas as in an environment variable.

use std::{fmt, time::Duration};

use serde::{
    Deserializer, Serializer,
    de::{self, SeqAccess, Visitor},
};

pub(super) fn serialize<S: Serializer>(delays: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(delays.iter().map(|delay| humantime::format_duration(*delay).to_string()))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    deserializer.deserialize_any(Delays)
}

struct Delays;

impl<'de> Visitor<'de> for Delays {
    type Value = Vec<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("durations such as \"100ms, 1s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut delays = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            delays.push(parse(&text)?);
        }
        Ok(delays)
    }
}

fn parse<E: de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|error| E::custom(format_args!("invalid duration {text:?}: {error}")))
}
