use std::{num::NonZeroU32, time::Duration};

use governor::Quota;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, MAX_DURATION, check, check_at_most_max, check_duration, duration};

/// Everything that can be set about a [`RateLimit`](crate::RateLimit).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitConfig {
    /// Calls per `period`, at least 1. Default 100.
    pub calls: u32,
    /// The period. Default 1 s.
    #[serde(with = "duration")]
    pub period: Duration,
    /// Calls that may come at once; the rate must earn them within a year. Default: `calls`.
    pub burst: Option<u32>,
    /// How long a call waits until it conforms. Default 0: it is refused at once.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Calls that wait at once, at most; itself at most 1000000. Default 1024. They are let through in order.
    pub max_queue: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self { calls: 100, period: Duration::from_secs(1), burst: None, max_wait: Duration::ZERO, max_queue: 1024 }
    }
}

impl RateLimitConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.quota().map(drop)
    }

    pub(super) fn quota(&self) -> Result<Quota, ConfigError> {
        check_duration("period", self.period)?;
        check_at_most_max("max_wait", self.max_wait)?;
        check(self.max_queue <= 1_000_000, "max_queue", self.max_queue, "must be at most 1000000")?;
        check(self.calls > 0, "calls", self.calls, "must be at least 1")?;
        let burst = self.burst.unwrap_or(self.calls);
        let burst = NonZeroU32::new(burst).ok_or_else(|| ConfigError::refused("burst", burst, "must be at least 1"))?;
        let interval = self.period / self.calls;
        let short = || {
            let period = humantime::format_duration(self.period);
            ConfigError::refused("period", period, "must give every call at least a nanosecond")
        };
        let quota = Quota::with_period(interval).ok_or_else(short)?;
        let earned = interval.checked_mul(burst.get()).is_some_and(|earned| earned <= MAX_DURATION);
        check(earned, "burst", burst, "must be earned within a year")?;
        Ok(quota.allow_burst(burst))
    }
}
