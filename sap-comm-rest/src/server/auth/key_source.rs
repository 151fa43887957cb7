use std::{fmt, time::Duration};

use async_trait::async_trait;
use sap_comm_core::{
    BoxError,
    auth::KeySet,
    config::{ConfigError, duration},
};
use serde::{Deserialize, Serialize};

use crate::options::{check, check_duration};

/// Where the signing keys of tokens are published.
#[async_trait]
pub trait KeySource: fmt::Debug + Send + Sync {
    /// Fetches the keys that are valid now.
    ///
    /// # Errors
    /// When they cannot be fetched or read.
    async fn fetch(&self) -> Result<KeySet, KeySourceError>;
}

/// Why signing keys could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("signing keys could not be fetched: {0}")]
pub struct KeySourceError(#[source] BoxError);

impl KeySourceError {
    /// An error with its cause.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}

/// When signing keys are fetched, and how long they serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyRefreshConfig {
    /// The shortest time between two fetches. Default 10 s: a flood of tokens with made-up keys costs one fetch each.
    #[serde(with = "duration")]
    pub cool_down: Duration,
    /// The time between two fetches that nobody asked for. Default 5 min: a revoked key is gone by then.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long keys serve while newer ones cannot be fetched. Default 1 h; then tokens are answered with 503.
    #[serde(with = "duration")]
    pub max_stale: Duration,
}

impl Default for KeyRefreshConfig {
    fn default() -> Self {
        Self {
            cool_down: Duration::from_secs(10),
            interval: Duration::from_secs(300),
            max_stale: Duration::from_secs(3_600),
        }
    }
}

impl KeyRefreshConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_duration("cool_down", self.cool_down)?;
        check_duration("interval", self.interval)?;
        check_duration("max_stale", self.max_stale)?;
        let text = |duration| humantime::format_duration(duration);
        check(self.cool_down <= self.interval, "cool_down", text(self.cool_down), "must be at most `interval`")?;
        check(self.interval <= self.max_stale, "interval", text(self.interval), "must be at most `max_stale`")
    }
}
