use super::{Sample, Totals};
use crate::sync::{Apart, AtomicU64, Ordering, fence};

/// The last calls in a ring. Nothing is summed up ahead, so no counter can drift from what the ring holds.
#[derive(Debug)]
pub(crate) struct CountWindow {
    next: Apart<AtomicU64>,
    slots: Box<[AtomicU64]>,
}

const USED: u64 = 1;
const FAILED: u64 = 2;
const SLOW: u64 = 4;
const FLAG_BITS: u32 = 3;

impl CountWindow {
    pub(super) fn new(size: usize) -> Self {
        Self { next: Apart(AtomicU64::new(0)), slots: (0..size).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline(never)]
    pub(super) fn record(&self, generation: u64, sample: Sample) {
        let index = self.next.0.fetch_add(1, Ordering::Relaxed) % self.slots.len() as u64;
        let flags = USED + if sample.failed { FAILED } else { 0 } + if sample.slow { SLOW } else { 0 };
        let slot = &self.slots[index as usize];
        let mut current = slot.load(Ordering::Relaxed);
        // A late writer of an old generation must not push out a sample of the new one.
        while current >> FLAG_BITS <= generation {
            let next = (generation << FLAG_BITS) + flags;
            match slot.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(actual) => current = actual,
            }
        }
    }

    pub(super) fn totals(&self, generation: u64) -> Totals {
        // Of two threads that each record and then read, at least one sees both samples.
        fence(Ordering::SeqCst);
        let mut totals = Totals::default();
        for slot in &self.slots {
            let slot = slot.load(Ordering::Acquire);
            if slot >> FLAG_BITS == generation && slot & USED != 0 {
                totals.failed += u64::from(slot & FAILED != 0);
                totals.succeeded += u64::from(slot & FAILED == 0);
                totals.slow += u64::from(slot & SLOW != 0);
            }
        }
        totals
    }

    pub(super) fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_calls_count() {
        let window = CountWindow::new(4);
        for failed in [true, true, false, false, false] {
            window.record(0, Sample { failed, slow: failed });
        }
        assert_eq!(window.totals(0), Totals { succeeded: 3, failed: 1, slow: 1 });
    }

    #[test]
    fn a_fresh_window_is_empty_and_a_cleared_one_too() {
        let window = CountWindow::new(4);
        assert_eq!(window.totals(0), Totals::default());
        window.record(0, Sample { failed: true, slow: false });
        window.record(0, Sample { failed: false, slow: true });
        assert_eq!(window.totals(0), Totals { succeeded: 1, failed: 1, slow: 1 });
        assert_eq!(window.totals(1), Totals::default());
        window.clear();
        assert_eq!(window.totals(0), Totals::default());
    }

    #[test]
    fn a_late_writer_pushes_out_nothing() {
        let window = CountWindow::new(1);
        window.record(2, Sample { failed: true, slow: false });
        window.record(1, Sample { failed: false, slow: false });
        assert_eq!(window.totals(2), Totals { succeeded: 0, failed: 1, slow: 0 });
    }
}
