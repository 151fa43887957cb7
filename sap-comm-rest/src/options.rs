//! What the configurations of this crate are checked with.

use std::{fmt::Display, time::Duration};

use http::HeaderValue;
use sap_comm_core::{Secret, config::ConfigError};

/// Times count from now on, so the longest is bounded.
const MAX_DURATION: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn check(holds: bool, field: &str, value: impl Display, reason: impl Display) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::refused(field, value, reason)) }
}

pub(crate) fn check_duration(field: &str, value: Duration) -> Result<(), ConfigError> {
    let holds = !value.is_zero() && value <= MAX_DURATION;
    check(holds, field, humantime::format_duration(value), "must be longer than zero and at most a year")
}

/// An API key as the value of a header, which no log shows.
pub(crate) fn api_key(key: &Secret<String>) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(key.expose())
        .map_err(|_| ConfigError::refused("api_key", "[redacted]", "has characters that no header can have"))?;
    value.set_sensitive(true);
    Ok(value)
}
