//! What every configuration of this crate shares: its limits, durations as text.

use std::{fmt::Display, time::Duration};

pub(crate) use sap_comm_core::config::{ConfigError, duration};

/// The longest duration that a configuration takes: a year.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn check(
    holds: bool,
    field: &'static str,
    value: impl Display,
    reason: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::refused(field, value, reason)) }
}

/// Refuses NaN too.
pub(crate) fn check_ratio(field: &'static str, value: f64) -> Result<(), ConfigError> {
    check((0.0..=1.0).contains(&value), field, value, "must lie within 0..=1")
}

pub(crate) fn check_duration(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    check(!value.is_zero(), field, humantime::format_duration(value), "must be longer than zero")?;
    check_at_most_max(field, value)
}

pub(crate) fn check_at_most_max(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    check(value <= MAX_DURATION, field, humantime::format_duration(value), "must be at most a year")
}

/// Optional durations as `"30s"` or null.
pub(crate) mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Text(#[serde(with = "super::duration")] Duration);

        Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(duration)| duration))
    }
}
