use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check, check_at_most_max, check_duration, duration, optional_duration};

/// Everything about an [`AdaptiveConcurrency`](crate::AdaptiveConcurrency) that can stand in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdaptiveConcurrencyConfig {
    /// Calls in flight to begin with. Default 20: most services stand that many.
    pub initial_limit: u32,
    /// The limit never falls below this, at least 1. Default 4: enough calls go through to notice a recovery.
    pub min_limit: u32,
    /// The limit never rises above this, at most 1000000. Default 1000.
    pub max_limit: u32,
    /// Calls that wait for a slot, at most. Default 0: a queue here hides the load that the limit is to bound.
    pub max_queue: u32,
    /// How long a call waits for a slot. Default: as long as it is not dropped.
    #[serde(with = "optional_duration")]
    pub max_wait: Option<Duration>,
    /// How much slower than the baseline calls may be, as a share of it, until the limit falls, 0 to 1000. Default 0.5:
    /// less reacts to noise, more to nothing but overload.
    pub tolerance: f64,
    /// What is left of the limit when a call is throttled or times out, between 0 and 1. Default 0.7, as in TCP CUBIC.
    pub backoff_ratio: f64,
    /// How long latencies are gathered at least before the limit moves. Default 100 ms.
    #[serde(with = "duration")]
    pub sampling_window: Duration,
    /// How many calls are gathered at least before the limit moves, 1 to 10000. Default 10: fewer say little.
    pub minimum_throughput: u32,
    /// How long a baseline that was not seen again is trusted. Default 30 s, shortened at random by up to a quarter.
    #[serde(with = "duration")]
    pub baseline_lifetime: Duration,
}

impl Default for AdaptiveConcurrencyConfig {
    fn default() -> Self {
        Self {
            initial_limit: 20,
            min_limit: 4,
            max_limit: 1000,
            max_queue: 0,
            max_wait: None,
            tolerance: 0.5,
            backoff_ratio: 0.7,
            sampling_window: Duration::from_millis(100),
            minimum_throughput: 10,
            baseline_lifetime: Duration::from_secs(30),
        }
    }
}

impl AdaptiveConcurrencyConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { initial_limit, min_limit, max_limit, tolerance, backoff_ratio, .. } = *self;
        check(min_limit > 0, "min_limit", min_limit, "must be at least 1")?;
        check(max_limit >= min_limit, "max_limit", max_limit, "must not be less than `min_limit`")?;
        check(max_limit <= 1_000_000, "max_limit", max_limit, "must be at most 1000000")?;
        let initial = (min_limit..=max_limit).contains(&initial_limit);
        check(initial, "initial_limit", initial_limit, "must lie within `min_limit` and `max_limit`")?;
        self.max_wait.map_or(Ok(()), |wait| check_at_most_max("max_wait", wait))?;
        check((0.0..=1000.0).contains(&tolerance), "tolerance", tolerance, "must lie within 0..=1000")?;
        let falls = backoff_ratio > 0.0 && backoff_ratio < 1.0;
        check(falls, "backoff_ratio", backoff_ratio, "must lie between 0 and 1")?;
        check_duration("sampling_window", self.sampling_window)?;
        let calls = self.minimum_throughput;
        check((1..=10_000).contains(&calls), "minimum_throughput", calls, "must lie within 1..=10000")?;
        check_duration("baseline_lifetime", self.baseline_lifetime)?;
        check(
            self.baseline_lifetime >= self.sampling_window,
            "baseline_lifetime",
            humantime::format_duration(self.baseline_lifetime),
            "must not be shorter than `sampling_window`",
        )
    }
}
