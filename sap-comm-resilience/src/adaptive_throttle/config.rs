use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::window::BUCKETS;
use crate::config::{ConfigError, check, check_duration, check_ratio, duration};

/// Everything about an [`AdaptiveThrottle`](crate::AdaptiveThrottle) that can stand in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdaptiveThrottleConfig {
    /// Requests that are let through for each that the dependency accepts, 1 to 1000: the K of the formula. Default 2: a
    /// dependency is never asked for more than twice of what it gives, and a recovery is seen at once.
    pub multiplier: f64,
    /// How far back requests are counted. Default 2 min.
    #[serde(with = "duration")]
    pub sampling_window: Duration,
    /// How many requests the window must hold before any is refused, at most 1000000. Default 10: fewer say little.
    pub minimum_throughput: u32,
    /// The largest share of requests that is refused, 0 to 1. Default 0.95: one in twenty finds out whether the
    /// dependency is back.
    pub max_rejection_rate: f64,
}

impl Default for AdaptiveThrottleConfig {
    fn default() -> Self {
        Self {
            multiplier: 2.0,
            sampling_window: Duration::from_secs(120),
            minimum_throughput: 10,
            max_rejection_rate: 0.95,
        }
    }
}

impl AdaptiveThrottleConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let multiplier = self.multiplier;
        check((1.0..=1000.0).contains(&multiplier), "multiplier", multiplier, "must lie within 1..=1000")?;
        check_duration("sampling_window", self.sampling_window)?;
        check(
            self.sampling_window / BUCKETS >= Duration::from_millis(1),
            "sampling_window",
            humantime::format_duration(self.sampling_window),
            "must be at least 60 ms",
        )?;
        let throughput = self.minimum_throughput;
        check(throughput <= 1_000_000, "minimum_throughput", throughput, "must be at most 1000000")?;
        check_ratio("max_rejection_rate", self.max_rejection_rate)
    }
}
