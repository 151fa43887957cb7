use std::time::Duration;

use super::{CircuitBreaker, CircuitBreakerBuilder, Comparison};
use crate::{Name, Pipeline, config::ConfigError};

/// Builds a breaker with opossum's options, defaults and rules.
///
/// A rate must exceed its threshold, one call is enough to judge, one probe decides, and neither jitter nor ramp
/// softens the reset. Failures are counted against finished calls, where opossum counts against started ones.
///
/// | opossum | here |
/// | --- | --- |
/// | `errorThresholdPercentage` (50) | [`error_threshold_percentage`](Self::error_threshold_percentage) |
/// | `resetTimeout` (30 s) | [`reset_timeout`](Self::reset_timeout) |
/// | `timeout` (10 s) | [`timeout`](Self::timeout) |
/// | `volumeThreshold` (0) | [`volume_threshold`](Self::volume_threshold) |
/// | `rollingCountTimeout` (10 s), `rollingCountBuckets` (10) | [`rolling_count`](Self::rolling_count) |
#[derive(Debug)]
#[must_use = "nothing is built before `build`"]
pub struct OpossumBuilder {
    builder: CircuitBreakerBuilder,
    percentage: f64,
    timeout: Option<Duration>,
    name: Name,
}

impl OpossumBuilder {
    pub(super) fn new(name: Name) -> Self {
        let builder = CircuitBreakerBuilder::new(name.clone())
            .comparison(Comparison::Above)
            .minimum_throughput(0)
            .reset_jitter(0.0)
            .ramp(Duration::ZERO);
        Self { builder, percentage: 50.0, timeout: Some(Duration::from_secs(10)), name }
    }

    /// Opens when more than this percentage of the calls fails.
    pub fn error_threshold_percentage(mut self, percentage: f64) -> Self {
        self.percentage = percentage;
        self
    }

    /// Time in the open state before a probe.
    pub fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.builder = self.builder.reset_timeout(timeout);
        self
    }

    /// Time that a call may take; `None` for any. Used by [`pipeline`](Self::pipeline) only.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Calls that the window must hold before the rate counts.
    pub fn volume_threshold(mut self, calls: u32) -> Self {
        self.builder = self.builder.minimum_throughput(calls);
        self
    }

    /// Length and buckets of the window.
    pub fn rolling_count(mut self, timeout: Duration, buckets: u32) -> Self {
        self.builder = self.builder.sampling_window(timeout).sampling_buckets(buckets);
        self
    }

    /// The breaker alone.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        let percentage = self.percentage;
        crate::config::check(
            (0.0..=100.0).contains(&percentage),
            "error_threshold_percentage",
            percentage,
            "must lie within 0..=100",
        )?;
        self.builder.failure_rate(percentage / 100.0).build()
    }

    /// The breaker around the timeout, which is what opossum's `fire` runs.
    ///
    /// # Errors
    /// Names the first field that cannot be built.
    pub fn pipeline(self) -> Result<Pipeline, ConfigError> {
        let (name, timeout) = (self.name.clone(), self.timeout);
        let pipeline = Pipeline::builder(name).breaker(self.build()?);
        match timeout {
            Some(timeout) => pipeline.timeout(timeout).build(),
            None => pipeline.build(),
        }
    }
}
