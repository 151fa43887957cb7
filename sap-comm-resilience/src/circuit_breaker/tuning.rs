use crate::{
    circuit_breaker::{
        CircuitBreakerConfig, Comparison,
        window::{Sample, Totals},
    },
    clock::nanos,
    sync::{AtomicU64, Ordering},
};

/// The thresholds that the hot path reads, each an atomic, so that a reload needs no lock there.
#[derive(Debug)]
pub(crate) struct Tuning {
    failure_rate: AtomicU64,
    slow_rate: AtomicU64,
    above: AtomicU64,
    minimum_throughput: AtomicU64,
    consecutive: AtomicU64,
    slow_after: AtomicU64,
    reset_timeout: AtomicU64,
}

/// The rule that opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TripReason {
    /// Too large a share of the calls failed.
    FailureRate,
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of the calls was slow.
    SlowCallRate,
    /// The [`TripPolicy`](crate::TripPolicy) said so.
    Policy,
}

/// No rate reaches it: the rule is off.
const NEVER: f64 = f64::INFINITY;

impl Tuning {
    pub(crate) fn new(config: &CircuitBreakerConfig) -> Self {
        let tuning = Self {
            failure_rate: AtomicU64::new(0),
            slow_rate: AtomicU64::new(0),
            above: AtomicU64::new(0),
            minimum_throughput: AtomicU64::new(0),
            consecutive: AtomicU64::new(0),
            slow_after: AtomicU64::new(0),
            reset_timeout: AtomicU64::new(0),
        };
        tuning.load(config);
        tuning
    }

    /// Takes over the thresholds of `config`.
    pub(crate) fn load(&self, config: &CircuitBreakerConfig) {
        let slow_rate = config.slow_call_duration.map_or(NEVER, |_| config.slow_call_rate);
        let values = [
            (&self.failure_rate, config.failure_rate.unwrap_or(NEVER).to_bits()),
            (&self.slow_rate, slow_rate.to_bits()),
            (&self.above, u64::from(config.comparison == Comparison::Above)),
            (&self.minimum_throughput, u64::from(config.minimum_throughput)),
            (&self.consecutive, config.consecutive_failures.map_or(u64::MAX, u64::from)),
            (&self.slow_after, config.slow_call_duration.map_or(u64::MAX, nanos)),
            (&self.reset_timeout, nanos(config.reset_timeout)),
        ];
        for (field, value) in values {
            field.store(value, Ordering::Release);
        }
    }

    /// Whether calls need a start time.
    #[inline]
    pub(crate) fn times_calls(&self) -> bool {
        self.slow_after.load(Ordering::Relaxed) != u64::MAX
    }

    /// Whether a call of this many nanoseconds is slow.
    #[inline]
    pub(crate) fn is_slow(&self, elapsed: u64) -> bool {
        elapsed >= self.slow_after.load(Ordering::Relaxed)
    }

    /// What a caller of an isolated breaker is told to wait.
    pub(crate) fn reset_timeout(&self) -> u64 {
        self.reset_timeout.load(Ordering::Acquire)
    }

    /// Which rule opens after `sample`, given the window with it and the failures in a row.
    pub(crate) fn verdict(&self, sample: Sample, totals: Totals, in_a_row: u64) -> Option<TripReason> {
        if sample.failed && in_a_row >= self.consecutive.load(Ordering::Acquire) {
            return Some(TripReason::ConsecutiveFailures);
        }
        let calls = totals.calls();
        if calls == 0 || calls < self.minimum_throughput.load(Ordering::Acquire) {
            return None;
        }
        if sample.failed && self.reaches(totals.failed, calls, &self.failure_rate) {
            return Some(TripReason::FailureRate);
        }
        (sample.slow && self.reaches(totals.slow, calls, &self.slow_rate)).then_some(TripReason::SlowCallRate)
    }

    fn reaches(&self, part: u64, calls: u64, threshold: &AtomicU64) -> bool {
        let threshold = f64::from_bits(threshold.load(Ordering::Acquire));
        let rate = part as f64 / calls as f64;
        rate > threshold || (rate == threshold && self.above.load(Ordering::Acquire) == 0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_slow_call_opens_for_slowness_and_only_a_failure_for_failures() {
        let config = CircuitBreakerConfig {
            failure_rate: Some(0.5),
            minimum_throughput: 1,
            slow_call_duration: Some(Duration::from_secs(1)),
            slow_call_rate: 0.5,
            ..CircuitBreakerConfig::default()
        };
        let tuning = Tuning::new(&config);
        let verdict = |failed, slow, totals| tuning.verdict(Sample { failed, slow }, totals, 0);
        let slow = Totals { succeeded: 3, failed: 1, slow: 3 };
        assert_eq!(verdict(true, false, slow), None);
        assert_eq!(verdict(false, true, slow), Some(TripReason::SlowCallRate));
        let failed = Totals { succeeded: 1, failed: 3, slow: 1 };
        assert_eq!(verdict(false, true, failed), None);
        assert_eq!(verdict(true, false, failed), Some(TripReason::FailureRate));
    }
}
