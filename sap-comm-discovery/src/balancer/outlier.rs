use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{BalancerConfig, clock::millis};

/// Whether an endpoint is left out because it keeps failing.
#[derive(Debug, Default)]
pub(super) struct Outlier {
    failures_in_a_row: AtomicU32,
    ejected_until: AtomicU64,
    ejections: Mutex<Ejections>,
}

#[derive(Debug, Default)]
struct Ejections {
    /// How often in a row.
    count: u32,
    /// How long the last one lasted, in milliseconds.
    lasted: u64,
}

impl Outlier {
    pub(super) fn success(&self, now: u64) {
        // Read first: a store would bounce the cache line on every call.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until != 0 && now > until {
            let mut ejections = self.ejections.lock();
            if now > until.saturating_add(ejections.lasted) {
                *ejections = Ejections::default();
                self.ejected_until.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Counts a failure; whether it ejected the endpoint.
    pub(super) fn failure(&self, now: u64, config: &BalancerConfig) -> bool {
        let failures = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if config.ejection_failures() == 0 || failures < config.ejection_failures() || self.is_ejected(now) {
            return false;
        }
        let mut ejections = self.ejections.lock();
        if self.is_ejected(now) {
            return false;
        }
        let doubled = millis(config.ejection_time()).saturating_mul(1 << ejections.count.min(30));
        ejections.lasted = doubled.min(millis(config.max_ejection_time()));
        ejections.count = ejections.count.saturating_add(1);
        self.ejected_until.store(now.saturating_add(ejections.lasted), Ordering::Relaxed);
        true
    }

    pub(super) fn is_ejected(&self, now: u64) -> bool {
        now < self.ejected_until.load(Ordering::Relaxed)
    }

    /// When the last ejection ends or ended; zero when there was none.
    pub(super) fn ejected_until(&self) -> u64 {
        self.ejected_until.load(Ordering::Relaxed)
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(outlier: &Outlier, times: u32, now: u64) -> bool {
        let config = BalancerConfig::default();
        (0..times).fold(false, |ejected, _| outlier.failure(now, &config) || ejected)
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_breaks_the_row() {
        let outlier = Outlier::default();
        assert!(!fail(&outlier, 4, 0));
        outlier.success(0);
        assert!(!fail(&outlier, 4, 0));
        assert!(fail(&outlier, 1, 0));
        assert!(outlier.is_ejected(9_999));
        assert!(!outlier.is_ejected(10_000));
    }

    #[test]
    fn one_failure_on_trial_ejects_for_twice_as_long() {
        let outlier = Outlier::default();
        fail(&outlier, 5, 0);
        assert!(fail(&outlier, 1, 10_000));
        assert_eq!(outlier.ejected_until(), 30_000);
        // Late answers from before the ejection do not lengthen it.
        assert!(!fail(&outlier, 9, 20_000));
        for _ in 0..40 {
            fail(&outlier, 1, outlier.ejected_until());
        }
        let now = outlier.ejected_until();
        fail(&outlier, 1, now);
        assert_eq!(outlier.ejected_until() - now, 300_000);
    }

    #[test]
    fn a_long_good_time_forgives() {
        let outlier = Outlier::default();
        fail(&outlier, 5, 0);
        fail(&outlier, 1, 10_000);
        outlier.success(30_001);
        assert_eq!(outlier.ejected_until(), 30_000, "too early");
        outlier.success(50_001);
        assert_eq!(outlier.ejected_until(), 0);
        fail(&outlier, 5, 60_000);
        assert_eq!(outlier.ejected_until(), 70_000);
    }
}
