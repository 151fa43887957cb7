use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check, check_at_most_max, optional_duration};

/// Everything that can be set about a [`Bulkhead`](crate::Bulkhead).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BulkheadConfig {
    /// Calls in flight at once, at least 1. Default 64.
    pub max_concurrent: u32,
    /// Calls that wait for a slot, at most; itself at most 1000000. Default 0: a full bulkhead refuses at once.
    pub max_queue: u32,
    /// How long a call waits for a slot. Default: as long as it is not dropped.
    #[serde(with = "optional_duration")]
    pub max_wait: Option<Duration>,
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self { max_concurrent: 64, max_queue: 0, max_wait: None }
    }
}

impl BulkheadConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = 1..=1_000_000;
        check(
            range.contains(&self.max_concurrent),
            "max_concurrent",
            self.max_concurrent,
            "must lie within 1..=1000000",
        )?;
        check(self.max_queue <= 1_000_000, "max_queue", self.max_queue, "must be at most 1000000")?;
        self.max_wait.map_or(Ok(()), |wait| check_at_most_max("max_wait", wait))
    }
}
