use std::{fmt::Display, time::Duration};

/// An option that cannot be used, with its name and value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` = {value}: {reason}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The option, as spelled in the configuration.
    pub field: &'static str,
    /// The value that was refused.
    pub value: String,
    /// What the option needs.
    pub reason: &'static str,
}

pub(crate) fn check(
    holds: bool,
    field: &'static str,
    value: impl Display,
    reason: &'static str,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), reason }) }
}

/// Longer than zero, and at most a day.
pub(crate) fn check_duration(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    let holds = !value.is_zero() && value <= Duration::from_secs(86_400);
    check(holds, field, humantime::format_duration(value), "must be longer than zero and at most a day")
}
