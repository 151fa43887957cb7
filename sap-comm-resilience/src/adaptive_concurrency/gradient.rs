//! How the limit follows latency. Pure: it is told the time and what was measured.
//!
//! The gradient of Netflix's concurrency-limits (Gradient2) and of Envoy's adaptive concurrency filter: the limit is
//! multiplied by how much quicker an idle dependency answers, and grows by its square root. Two things differ. The
//! baseline is the least median seen, not a long average, which would come to hold the queue that it is to detect. And
//! when the baseline was not seen again for its lifetime, it is measured anew as BBR does: for one window, only half as
//! many calls go out as keep the dependency busy without a queue, by Little's law.

use super::AdaptiveConcurrencyConfig;
use crate::{clock::nanos, random::Dice};

/// The most that a limit may fall from one window to the next.
const STEEPEST: f64 = 0.5;
/// Where the gradient alone comes to rest: half of it and its root make it up again.
const FLOOR: u32 = 4;
/// How much of what keeps the dependency busy goes out while its queue drains: less than all, so that even a baseline
/// that was taken with a queue is found out. As in the second version of BBR.
const DRAINS_TO: f64 = 0.5;
/// A latency that is longer by less than this confirms the baseline.
const CONFIRMS: f64 = 1.1;

#[derive(Debug)]
pub(super) struct Gradient {
    limit: f64,
    baseline: Option<Baseline>,
    /// The limit to come back to after the window in which the queue drains.
    draining: Option<f64>,
}

/// Latency without a queue, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Baseline {
    latency: f64,
    /// The least latency since it was last confirmed.
    least: f64,
    stale_at: u64,
}

impl Gradient {
    pub(super) fn new(config: &AdaptiveConcurrencyConfig) -> Self {
        Self { limit: f64::from(config.initial_limit), baseline: None, draining: None }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    pub(super) fn baseline(&self) -> Option<u64> {
        self.baseline.map(|baseline| baseline.latency as u64)
    }

    /// The dependency asks for less, or did not answer in time.
    pub(super) fn overloaded(&mut self, config: &AdaptiveConcurrencyConfig) {
        self.draining = None;
        self.limit = (self.limit * config.backoff_ratio).max(f64::from(config.min_limit));
    }

    /// A window ended, with this median latency and at most `peak` calls in flight at once.
    pub(super) fn measured(
        &mut self,
        config: &AdaptiveConcurrencyConfig,
        latency: u64,
        peak: u32,
        now: u64,
        dice: &Dice,
    ) {
        let latency = (latency as f64).max(1.0);
        let fresh = || {
            let lifetime = nanos(config.baseline_lifetime) as f64 * (1.0 - dice.unit() / 4.0);
            Baseline { latency, least: f64::INFINITY, stale_at: now.saturating_add(lifetime as u64) }
        };
        if let Some(limit) = self.draining.take() {
            self.baseline = Some(fresh());
            self.limit = limit;
            return;
        }
        let seen = |baseline: Baseline| Baseline { least: baseline.least.min(latency), ..baseline };
        let mut baseline = self.baseline.map_or_else(fresh, seen);
        // Under the least limit nothing queues on our account, so it is the dependency that has become slower.
        if latency < baseline.latency || self.limit() <= config.min_limit.max(FLOOR) {
            baseline = fresh();
        } else if now >= baseline.stale_at && baseline.least <= baseline.latency * CONFIRMS {
            baseline = Baseline { latency: baseline.least, ..fresh() };
        }
        self.baseline = Some(baseline);
        if now >= baseline.stale_at {
            let busy = self.limit.min(f64::from(peak)) * baseline.latency / latency;
            let drained = busy * DRAINS_TO;
            self.draining = Some(self.limit);
            self.limit = drained.clamp(f64::from(config.min_limit), self.limit);
        } else {
            self.follow(config, baseline.latency / latency, peak);
        }
    }

    fn follow(&mut self, config: &AdaptiveConcurrencyConfig, quicker: f64, peak: u32) {
        let gradient = ((1.0 + config.tolerance) * quicker).clamp(STEEPEST, 1.0);
        let next = self.limit * gradient + self.limit.sqrt();
        // A limit that is not used says nothing about what the dependency stands.
        let unused = f64::from(peak) * 2.0 < self.limit;
        if next <= self.limit || !unused {
            self.limit = next.clamp(f64::from(config.min_limit), f64::from(config.max_limit));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1_000 * MS;

    struct Case {
        gradient: Gradient,
        config: AdaptiveConcurrencyConfig,
        dice: Dice,
        now: u64,
    }

    impl Case {
        fn new(config: AdaptiveConcurrencyConfig) -> Self {
            Self { gradient: Gradient::new(&config), config, dice: Dice::new(Some(1)), now: 0 }
        }

        /// `windows` of 100 ms each, in which calls take this long and fill the limit.
        fn full(&mut self, windows: u32, latency: u64) -> u32 {
            for _ in 0..windows {
                let peak = self.gradient.limit();
                self.window(latency, peak);
            }
            self.gradient.limit()
        }

        fn window(&mut self, latency: u64, peak: u32) {
            self.now += 100 * MS;
            self.gradient.measured(&self.config, latency, peak, self.now, &self.dice);
        }
    }

    #[test]
    fn it_grows_by_its_root_up_to_the_maximum() {
        let mut case = Case::new(AdaptiveConcurrencyConfig::default());
        assert_eq!(case.full(1, 10 * MS), 24);
        assert_eq!(case.full(100, 10 * MS), 1000);
    }

    #[test]
    fn it_falls_at_most_by_half_a_window_and_never_below_the_minimum() {
        let mut case = Case::new(AdaptiveConcurrencyConfig { initial_limit: 400, ..Default::default() });
        case.full(1, 10 * MS);
        assert_eq!(case.full(1, 900 * MS), 210 + 20);
        let mut case = Case::new(AdaptiveConcurrencyConfig { initial_limit: 5, min_limit: 5, ..Default::default() });
        for _ in 0..10 {
            case.gradient.overloaded(&case.config);
        }
        assert_eq!(case.gradient.limit(), 5);
    }

    #[test]
    fn a_limit_that_is_not_used_does_not_grow_but_may_fall() {
        let mut case = Case::new(AdaptiveConcurrencyConfig { initial_limit: 100, ..Default::default() });
        for _ in 0..50 {
            case.window(10 * MS, 49);
        }
        assert_eq!(case.gradient.limit(), 100);
        case.window(100 * MS, 49);
        assert_eq!(case.gradient.limit(), 60);
    }

    #[test]
    fn a_dependency_that_has_become_slower_is_believed_at_the_least_limit() {
        let mut case = Case::new(AdaptiveConcurrencyConfig { initial_limit: 100, ..Default::default() });
        case.full(1, 10 * MS);
        assert!(case.full(60, 50 * MS) > 100, "{case:?}", case = case.gradient);
        assert_eq!(case.gradient.baseline(), Some(50 * MS));
    }

    #[test]
    fn a_baseline_that_was_not_seen_again_is_measured_without_a_queue() {
        let config = AdaptiveConcurrencyConfig { tolerance: 3.0, max_limit: 100, ..Default::default() };
        let mut case = Case::new(config);
        case.full(1, 10 * MS);
        case.full(100, 20 * MS);
        assert_eq!(case.gradient.limit(), 100, "the tolerance takes twice the latency");
        while case.now < 31 * S && case.gradient.draining.is_none() {
            case.full(1, 20 * MS);
        }
        assert_eq!(case.gradient.limit(), 25, "half of the half that does not wait in its queue");
        case.full(1, 10 * MS);
        assert_eq!((case.gradient.limit(), case.gradient.baseline()), (100, Some(10 * MS)));
    }

    #[test]
    fn a_baseline_that_is_seen_again_costs_no_drain() {
        let mut case = Case::new(AdaptiveConcurrencyConfig { max_limit: 100, ..Default::default() });
        for window in 0..2_000 {
            case.full(1, if window % 2 == 0 { 10 * MS } else { 14 * MS });
            assert!(case.gradient.draining.is_none());
        }
    }
}
