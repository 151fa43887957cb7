use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use crate::options::{check, check_duration};

/// How long and how much is kept for idempotency keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IdempotencyConfig {
    /// How long an answer is kept. Default 24 h: longer than anybody tries again.
    #[serde(with = "duration")]
    pub keep: Duration,
    /// How long a request may take before another may carry it out. Default 60 s: longer than any handler may.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// Bytes of a request's body, which is read as a whole. Default 1 MiB.
    pub max_body: usize,
    /// Bytes of an answer that is kept. Default 64 KiB; of a larger one a repetition learns that it was given.
    pub max_answer: usize,
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(24 * 3_600),
            lease: Duration::from_secs(60),
            max_body: 1024 * 1024,
            max_answer: 64 * 1024,
        }
    }
}

impl IdempotencyConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_duration("idempotency.keep", self.keep)?;
        check_duration("idempotency.lease", self.lease)?;
        check(self.max_body > 0, "idempotency.max_body", self.max_body, "must be at least 1")?;
        check(self.max_answer > 0, "idempotency.max_answer", self.max_answer, "must be at least 1")
    }
}
