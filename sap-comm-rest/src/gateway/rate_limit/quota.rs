use std::{num::NonZeroU32, time::Duration};

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use super::limits;
use crate::options::check;

/// How much one caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// So many requests…
    pub requests: u32,
    /// …in this time, evenly spread. At most a day.
    #[serde(with = "duration")]
    pub per: Duration,
    /// How many may come at once. Default: all of them.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// What one caller may ask of a gateway: by principal when it is known, else by client address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// The quota of one caller. Default: 100 requests a second.
    pub quota: Quota,
    /// How many callers are told apart; past that they share a fixed number of buckets. Default 100,000: some 8 MB.
    pub max_callers: usize,
}

impl Quota {
    /// So many requests a second.
    #[must_use]
    pub const fn per_second(requests: u32) -> Self {
        Self { requests, per: Duration::from_secs(1), burst: None }
    }

    /// So many requests a minute.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, per: Duration::from_secs(60), burst: None }
    }

    /// So many requests an hour.
    #[must_use]
    pub const fn per_hour(requests: u32) -> Self {
        Self { requests, per: Duration::from_secs(3_600), burst: None }
    }

    /// Lets so many come at once.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// How many may come at once.
    pub(super) fn at_once(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }

    /// The time after which one more is allowed.
    pub(super) fn interval(&self) -> Duration {
        self.per.checked_div(self.requests).unwrap_or_default()
    }

    pub(super) fn validate(&self, field: &str) -> Result<governor::Quota, ConfigError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let refuse = |name: &str, value: &dyn std::fmt::Display, reason: &str| {
            Err(ConfigError::refused(name, value, reason).within(field))
        };
        if self.requests == 0 {
            return refuse("requests", &0, "must be at least 1");
        }
        if self.per.is_zero() || self.per > DAY {
            return refuse("per", &humantime::format_duration(self.per), "must be longer than zero and at most a day");
        }
        let Some(burst) = NonZeroU32::new(self.at_once()) else {
            return refuse("burst", &0, "must be at least 1");
        };
        if self.interval().checked_mul(burst.get()).is_none_or(|fill| fill > 30 * DAY) {
            return refuse("burst", &burst, "takes over thirty days to fill");
        }
        match limits(self.interval(), burst) {
            Some(quota) => Ok(quota),
            None => refuse("requests", &self.requests, "is more than one a nanosecond"),
        }
    }
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self { quota: Quota::per_second(100), max_callers: 100_000 }
    }
}

impl From<Quota> for RateLimitConfig {
    fn from(quota: Quota) -> Self {
        Self { quota, ..Self::default() }
    }
}

impl RateLimitConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        check(self.max_callers > 0, "rate_limit.max_callers", self.max_callers, "must be at least 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let quota = |requests, per, burst| Quota { requests, per: Duration::from_nanos(per), burst };
        for (quota, field) in [
            (quota(0, 1, None), "rate_limit.requests"),
            (quota(1, 0, None), "rate_limit.per"),
            (quota(1, u64::MAX, None), "rate_limit.per"),
            (quota(1, 1, Some(0)), "rate_limit.burst"),
            (quota(1, 86_400_000_000_000, Some(u32::MAX)), "rate_limit.burst"),
            (quota(2, 1, None), "rate_limit.requests"),
        ] {
            assert_eq!(quota.validate("rate_limit").unwrap_err().field(), field);
        }
    }
}
