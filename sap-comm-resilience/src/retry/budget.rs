use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::Clock,
    config::{ConfigError, check, check_ratio},
};

/// Bounds retries to a share of the calls, so that retries do not multiply an outage. Clones share one budget.
///
/// Every first attempt pays in a share of a retry, every retry takes a whole one out; a small reserve refills with time,
/// so that rare callers may retry too. Share one budget among all calls to a dependency.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    share: u64,
    per_second: u64,
    capacity: u64,
    balance: AtomicU64,
    refilled: AtomicU64,
    clock: Clock,
}

/// One retry, in the smallest unit.
const RETRY: u64 = 1_000_000;
/// The nanoseconds in which one retry a second earns the smallest unit.
const TICK: u64 = 1_000_000_000 / RETRY;
/// Ten seconds: longer times earn no more.
const LONGEST: u64 = 10 * RETRY;

impl RetryBudget {
    /// A budget of `share` retries a call, 0 to 1, and `per_second` beside; it saves up ten seconds' worth of those, or
    /// a hundred retries if that is more.
    ///
    /// ```
    /// let budget = sap_comm_resilience::RetryBudget::new(0.2, 1)?;
    /// assert!(budget.try_withdraw());
    /// # Ok::<(), sap_comm_core::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// A share outside 0..=1, or over a million retries a second.
    pub fn new(share: f64, per_second: u32) -> Result<Self, ConfigError> {
        check_ratio("share", share)?;
        check(per_second <= 1_000_000, "per_second", per_second, "must be at most 1000000")?;
        let reserve = u64::from(per_second) * 10 * RETRY;
        let inner = Inner {
            share: (share * RETRY as f64).round() as u64,
            per_second: u64::from(per_second),
            capacity: reserve.max(100 * RETRY),
            balance: AtomicU64::new(reserve),
            refilled: AtomicU64::new(0),
            clock: Clock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Pays in for a first attempt.
    pub fn deposit(&self) {
        self.inner.pay_in(self.inner.share);
    }

    /// Takes one retry out, if there is one. Never overdraws.
    #[must_use]
    pub fn try_withdraw(&self) -> bool {
        self.inner.refill();
        let take = |balance: u64| balance.checked_sub(RETRY);
        self.inner.balance.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    /// How many retries it holds.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.inner.refill();
        self.inner.balance.load(Ordering::Acquire) / RETRY
    }
}

impl Inner {
    fn pay_in(&self, amount: u64) {
        let current = self.balance.load(Ordering::Relaxed);
        // A full budget is not written to, so that healthy callers share its line read-only.
        if amount == 0 || current >= self.capacity {
            return;
        }
        let add = |balance: u64| Some(balance.saturating_add(amount).min(self.capacity));
        let _ = self.balance.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
    }

    fn refill(&self) {
        if self.per_second == 0 {
            return;
        }
        let (now, last) = (self.clock.now(), self.refilled.load(Ordering::Acquire));
        let ticks = now.saturating_sub(last) / TICK;
        if ticks == 0 {
            return;
        }
        // Whoever moves the time on pays in; everybody else has nothing to add. The rest of a tick is kept for later.
        if self.refilled.compare_exchange(last, last + ticks * TICK, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.pay_in(ticks.min(LONGEST) * self.per_second);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Trap 23.
    #[tokio::test(start_paused = true)]
    async fn sixty_percent_means_sixty_percent() {
        let budget = RetryBudget::new(0.6, 0).unwrap();
        for _ in 0..100 {
            budget.deposit();
        }
        assert_eq!((0..1000).filter(|_| budget.try_withdraw()).count(), 60);
    }

    /// Trap 23.
    #[test]
    fn threads_never_overdraw() {
        let budget = RetryBudget::new(0.5, 0).unwrap();
        for _ in 0..100 {
            budget.deposit();
        }
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1000).filter(|_| budget.try_withdraw()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 50);
    }

    #[tokio::test(start_paused = true)]
    async fn the_reserve_refills_with_time() {
        let budget = RetryBudget::new(0.0, 2).unwrap();
        while budget.try_withdraw() {}
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(budget.available(), 2);
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(budget.available(), 2 + 20, "a day earns no more than ten seconds do");
    }

    #[tokio::test(start_paused = true)]
    async fn looking_often_loses_no_time() {
        let budget = RetryBudget::new(0.0, 1_000_000).unwrap();
        budget.inner.balance.store(0, Ordering::Release);
        for _ in 0..1_000 {
            tokio::time::advance(Duration::from_nanos(1_999)).await;
            let _ = budget.available();
        }
        assert_eq!(budget.available(), 1_999);
    }

    #[test]
    fn a_share_that_is_none_is_refused() {
        for share in [-0.1, 1.1, f64::NAN] {
            assert_eq!(RetryBudget::new(share, 0).unwrap_err().field(), "share");
        }
    }
}
