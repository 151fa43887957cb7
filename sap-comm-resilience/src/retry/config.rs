use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Jitter;
use crate::config::{ConfigError, check, check_at_most_max, check_duration, duration};

/// Everything about a [`Retry`](crate::Retry) that can stand in a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Retries after the first call, at most 1000. Default 3.
    pub max_retries: u32,
    /// How the delays grow. Default exponential.
    pub schedule: ScheduleKind,
    /// Delay before the first retry. Default 100 ms.
    #[serde(with = "duration")]
    pub min_delay: Duration,
    /// By how much a delay is longer than the one before it, 1 to 1000. Default 2.
    pub factor: f64,
    /// Bound of a delay. Default 5 s.
    #[serde(with = "duration")]
    pub max_delay: Duration,
    /// How a delay is spread, so that callers do not return in step. Default: by a quarter, within the bounds.
    pub jitter: Jitter,
    /// Bound of a delay that the server asks for; one that asks for more is not retried. Default 30 s.
    #[serde(with = "duration")]
    pub max_retry_after: Duration,
    /// What to do when the request that causes this call is itself a retry. Default: leave retrying to it.
    pub upstream_retries: UpstreamRetries,
}

/// How the delays of a [`Retry`](crate::Retry) grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// `min_delay`, then each `factor` times the one before.
    #[default]
    Exponential,
    /// Each at random between `min_delay` and three times the one before.
    Decorrelated,
    /// Always `min_delay`.
    Fixed,
}

/// What a retry does inside a request that is itself a retry: together, tiers multiply their attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamRetries {
    /// Makes one attempt and leaves retrying to the upstream.
    #[default]
    Yield,
    /// Retries all the same.
    Ignore,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_retries: 3,
            schedule: ScheduleKind::Exponential,
            min_delay: Duration::from_millis(100),
            factor: 2.0,
            max_delay: Duration::from_secs(5),
            jitter: Jitter::default(),
            max_retry_after: Duration::from_secs(30),
            upstream_retries: UpstreamRetries::Yield,
        }
    }
}

impl RetryConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check(self.max_retries <= 1000, "max_retries", self.max_retries, "must be at most 1000")?;
        check_duration("min_delay", self.min_delay)?;
        check_duration("max_delay", self.max_delay)?;
        let max = humantime::format_duration(self.max_delay);
        check(self.max_delay >= self.min_delay, "max_delay", max, "must not be shorter than `min_delay`")?;
        check((1.0..=1000.0).contains(&self.factor), "factor", self.factor, "must lie within 1..=1000")?;
        if let Jitter::Spread(share) = self.jitter {
            check((0.0..=1.0).contains(&share), "jitter", share, "must lie within 0..=1")?;
        }
        check_at_most_max("max_retry_after", self.max_retry_after)
    }
}
