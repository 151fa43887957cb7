use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::clock::nanos;

/// Steps in which old requests leave the window.
pub(super) const BUCKETS: u32 = 60;

/// Requests and accepts of the last minutes, with their sums kept, so that reading costs two loads.
#[derive(Debug)]
pub(super) struct Window {
    requests: Series,
    accepts: Series,
    bucket: u64,
    /// The latest step of time that was seen.
    epoch: AtomicU64,
    turning: Mutex<()>,
}

/// A ring of counters and their sum.
#[derive(Debug)]
struct Series {
    sum: AtomicU64,
    ring: [AtomicU64; BUCKETS as usize],
}

impl Series {
    fn new() -> Self {
        Self { sum: AtomicU64::new(0), ring: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// The sum first: it is never less than its parts, whoever empties one meanwhile.
    fn count(&self, epoch: u64) {
        self.sum.fetch_add(1, Ordering::AcqRel);
        self.ring[place(epoch)].fetch_add(1, Ordering::AcqRel);
    }

    fn empty(&self, epoch: u64) {
        let gone = self.ring[place(epoch)].swap(0, Ordering::AcqRel);
        self.sum.fetch_sub(gone, Ordering::AcqRel);
    }
}

fn place(epoch: u64) -> usize {
    (epoch % u64::from(BUCKETS)) as usize
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            requests: Series::new(),
            accepts: Series::new(),
            bucket: nanos(length / BUCKETS),
            epoch: AtomicU64::new(0),
            turning: Mutex::new(()),
        }
    }

    pub(super) fn count(&self, now: u64, accepted: bool) {
        let epoch = self.turn(now);
        self.requests.count(epoch);
        if accepted {
            self.accepts.count(epoch);
        }
    }

    /// Requests and accepts.
    pub(super) fn totals(&self, now: u64) -> (u64, u64) {
        self.turn(now);
        // Accepts first: a request that is counted meanwhile is not taken for an accept without a request.
        let accepts = self.accepts.sum.load(Ordering::Acquire);
        (self.requests.sum.load(Ordering::Acquire), accepts)
    }

    /// Empties what is older than the window; the present step of time.
    fn turn(&self, now: u64) -> u64 {
        let epoch = now / self.bucket;
        if epoch <= self.epoch.load(Ordering::Acquire) {
            return self.epoch.load(Ordering::Acquire);
        }
        let _turning = self.turning.lock();
        let last = self.epoch.load(Ordering::Acquire);
        // A gap longer than the window empties every bucket once.
        for stale in 0..epoch.saturating_sub(last).min(u64::from(BUCKETS)) {
            self.requests.empty(epoch - stale);
            self.accepts.empty(epoch - stale);
        }
        self.epoch.fetch_max(epoch, Ordering::AcqRel).max(epoch)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(Duration::from_nanos(600))
    }

    #[test]
    fn a_request_leaves_with_its_bucket() {
        let window = window();
        window.count(5, true);
        window.count(15, false);
        assert_eq!(window.totals(599), (2, 1));
        assert_eq!(window.totals(600), (1, 0));
        assert_eq!(window.totals(610), (0, 0));
    }

    #[test]
    fn a_huge_gap_empties_it_at_once() {
        let window = window();
        (0..600).for_each(|now| window.count(now, true));
        assert_eq!(window.totals(u64::MAX), (0, 0));
        window.count(u64::MAX, true);
        assert_eq!(window.totals(u64::MAX), (1, 1));
        assert_eq!(window.totals(3), (1, 1), "a clock that lags turns nothing back");
    }

    #[test]
    fn threads_leave_no_count_behind() {
        let window = window();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|now| window.count(now, now % 2 == 0)));
            }
        });
        assert_eq!(window.totals(30_000), (0, 0));
    }
}
