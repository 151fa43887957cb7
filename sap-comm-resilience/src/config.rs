//! What every configuration of this crate shares: its error, its limits, durations as text.

use std::{fmt::Display, time::Duration};

/// The longest duration that a configuration takes: a year.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

/// A configuration that cannot be built, with the field and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` = {value}: {reason}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field, as spelled in the configuration.
    pub field: &'static str,
    /// The value that was refused.
    pub value: String,
    /// What the field needs.
    pub reason: &'static str,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, value: impl Display, reason: &'static str) -> Self {
        Self { field, value: value.to_string(), reason }
    }
}

pub(crate) fn check(
    holds: bool,
    field: &'static str,
    value: impl Display,
    reason: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(field, value, reason)) }
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

/// Durations as `"30s"`.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| D::Error::custom(format_args!("duration {text:?}: {error}")))
    }
}

/// Optional durations as `"30s"` or null.
pub(crate) mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        humantime::parse_duration(&text)
            .map(Some)
            .map_err(|error| D::Error::custom(format_args!("duration {text:?}: {error}")))
    }
}
