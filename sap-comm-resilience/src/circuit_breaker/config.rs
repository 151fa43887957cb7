use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, check, check_at_most_max, check_duration, check_ratio, duration, optional_duration};

/// How a rate is held against its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// The threshold itself trips.
    #[default]
    AtLeast,
    /// Only more than the threshold trips, as in opossum.
    Above,
}

/// Everything that can be set about a [`CircuitBreaker`](crate::CircuitBreaker).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CircuitBreakerConfig {
    /// Share of failed calls that opens, 0 to 1. Default 0.5; `None` turns the rule off.
    pub failure_rate: Option<f64>,
    /// How many calls the window must hold before a rate counts, at most a million. Default 10: fewer say little.
    pub minimum_throughput: u32,
    /// Whether reaching a threshold is enough. Default: it is.
    pub comparison: Comparison,
    /// Failures in a row that open, whatever the window holds, 1 to a million. Default: the rule is off.
    pub consecutive_failures: Option<u32>,
    /// A call that takes this long is slow. Default: no call is.
    #[serde(with = "optional_duration")]
    pub slow_call_duration: Option<Duration>,
    /// Share of slow calls that opens, 0 to 1. Default 1; counts only with `slow_call_duration`.
    pub slow_call_rate: f64,
    /// How far back the rates look. Default 10 s.
    #[serde(with = "duration")]
    pub sampling_window: Duration,
    /// Steps in which old calls leave the window, 1 to 128. Default 10.
    pub sampling_buckets: u32,
    /// Look back over this many calls instead, 1 to 4096. Default: over time.
    pub sampling_calls: Option<u32>,
    /// The longest time in the open state before a probe. Default 30 s.
    #[serde(with = "duration")]
    pub reset_timeout: Duration,
    /// By how much the reset timeout grows each time a probe fails, at least 1. Default 1: it does not.
    pub reset_factor: f64,
    /// Bound of a growing reset timeout. Default 5 min.
    #[serde(with = "duration")]
    pub max_reset_timeout: Duration,
    /// Share of the reset timeout that is cut at random, 0 to 1. Default 0.1, so that callers do not probe in step.
    pub reset_jitter: f64,
    /// Probes in flight at once while half-open. Default 1.
    pub probes: u32,
    /// Successful probes that close, 1 to 1024. Default 1.
    pub probe_successes: u32,
    /// A probe that has not ended after this gives its slot up. Default 30 s.
    #[serde(with = "duration")]
    pub probe_lease: Duration,
    /// For this long after recovery, traffic is let in by growing steps. Default 3 s; zero lets everything in at once.
    #[serde(with = "duration")]
    pub ramp: Duration,
}

/// The most calls that a rule may wait for: one that waits for more never opens.
const MAX_CALLS: u32 = 1_000_000;

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            failure_rate: Some(0.5),
            minimum_throughput: 10,
            comparison: Comparison::AtLeast,
            consecutive_failures: None,
            slow_call_duration: None,
            slow_call_rate: 1.0,
            sampling_window: Duration::from_secs(10),
            sampling_buckets: 10,
            sampling_calls: None,
            reset_timeout: Duration::from_secs(30),
            reset_factor: 1.0,
            max_reset_timeout: Duration::from_secs(300),
            reset_jitter: 0.1,
            probes: 1,
            probe_successes: 1,
            probe_lease: Duration::from_secs(30),
            ramp: Duration::from_secs(3),
        }
    }
}

impl CircuitBreakerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be built, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(rate) = self.failure_rate {
            check_ratio("failure_rate", rate)?;
        }
        check_ratio("slow_call_rate", self.slow_call_rate)?;
        check_ratio("reset_jitter", self.reset_jitter)?;
        if let Some(failures) = self.consecutive_failures {
            check(
                (1..=MAX_CALLS).contains(&failures),
                "consecutive_failures",
                failures,
                "must lie within 1..=1000000",
            )?;
        }
        if let Some(slow) = self.slow_call_duration {
            check_duration("slow_call_duration", slow)?;
        }
        let trips =
            self.failure_rate.is_some() || self.consecutive_failures.is_some() || self.slow_call_duration.is_some();
        check(trips, "failure_rate", "none", "at least one rule must be able to open the breaker")?;
        self.validate_window()?;
        check_duration("reset_timeout", self.reset_timeout)?;
        check_at_most_max("max_reset_timeout", self.max_reset_timeout)?;
        let factor = self.reset_factor;
        check((1.0..=1e6).contains(&factor), "reset_factor", factor, "must lie within 1..=1000000")?;
        check((1..=1024).contains(&self.probes), "probes", self.probes, "must lie within 1..=1024")?;
        let successes = self.probe_successes;
        check((1..=1024).contains(&successes), "probe_successes", successes, "must lie within 1..=1024")?;
        check_duration("probe_lease", self.probe_lease)?;
        check_at_most_max("ramp", self.ramp)
    }

    fn validate_window(&self) -> Result<(), ConfigError> {
        let minimum = self.minimum_throughput;
        check(minimum <= MAX_CALLS, "minimum_throughput", minimum, "must be at most 1000000")?;
        check_duration("sampling_window", self.sampling_window)?;
        let buckets = self.sampling_buckets;
        check((1..=128).contains(&buckets), "sampling_buckets", buckets, "must lie within 1..=128")?;
        check(
            self.sampling_window / buckets >= Duration::from_millis(1),
            "sampling_window",
            humantime::format_duration(self.sampling_window),
            "must give every bucket at least a millisecond",
        )?;
        match self.sampling_calls {
            Some(calls) => {
                check((1..=4096).contains(&calls), "sampling_calls", calls, "must lie within 1..=4096")?;
                check(minimum <= calls, "minimum_throughput", minimum, "must fit into `sampling_calls`")
            }
            None => Ok(()),
        }
    }

    /// How long the breaker stays open when it opens for the `reopenings`-th time in a row, before jitter.
    pub(crate) fn reset_after(&self, reopenings: u32) -> Duration {
        let exponent = i32::try_from(reopenings).unwrap_or(i32::MAX);
        let bound = self.max_reset_timeout.max(self.reset_timeout);
        let grown = self.reset_timeout.as_secs_f64() * self.reset_factor.powi(exponent);
        Duration::try_from_secs_f64(grown).map_or(bound, |grown| grown.min(bound))
    }
}
