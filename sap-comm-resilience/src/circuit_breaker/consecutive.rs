use crate::sync::{AtomicU64, Ordering};

/// Failures in a row, within one generation.
#[derive(Debug)]
pub(crate) struct Consecutive(AtomicU64);

const COUNT_BITS: u32 = 32;

impl Consecutive {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A success ends the row. Writes only if there is one, so that healthy traffic shares the line read-only.
    #[inline]
    pub(crate) fn succeeded(&self, generation: u64) {
        let current = self.0.load(Ordering::Relaxed);
        if count(current) != 0 && belongs(current, generation) {
            // Lost to a concurrent failure, this success came first.
            let _ = self.0.compare_exchange(current, tag(generation), Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Adds a failure; returns how many there are in a row. A failure of an older generation than the row's is dropped.
    pub(crate) fn failed(&self, generation: u64) -> u64 {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let next = if belongs(current, generation) {
                current + u64::from(count(current) < u64::from(u32::MAX))
            } else if follows(current, generation) {
                return 0;
            } else {
                tag(generation) + 1
            };
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return count(next),
                Err(actual) => current = actual,
            }
        }
    }

    /// Takes over a row of `failures` into a new generation.
    pub(crate) fn seed(&self, generation: u64, failures: u64) {
        self.0.store(tag(generation) + failures.min(u64::from(u32::MAX)), Ordering::Release);
    }

    pub(crate) fn get(&self, generation: u64) -> u64 {
        let current = self.0.load(Ordering::Acquire);
        if belongs(current, generation) { count(current) } else { 0 }
    }
}

fn tag(generation: u64) -> u64 {
    generation << COUNT_BITS
}

fn belongs(word: u64, generation: u64) -> bool {
    word >> COUNT_BITS == generation & u64::from(u32::MAX)
}

/// Whether the row in `word` is of a later generation.
fn follows(word: u64, generation: u64) -> bool {
    let ahead = (word >> COUNT_BITS).wrapping_sub(generation) & u64::from(u32::MAX);
    ahead != 0 && ahead < 1 << (COUNT_BITS - 1)
}

fn count(word: u64) -> u64 {
    word & u64::from(u32::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_the_row() {
        let row = Consecutive::new();
        assert_eq!((row.failed(0), row.failed(0)), (1, 2));
        row.succeeded(0);
        assert_eq!(row.failed(0), 1);
    }

    #[test]
    fn a_generation_begins_its_own_row() {
        let row = Consecutive::new();
        row.failed(0);
        assert_eq!(row.failed(1), 1);
        row.succeeded(0);
        assert_eq!(row.failed(0), 0);
        assert_eq!(row.get(1), 1);
        // On the circle of generations what lies half a turn ahead is new again.
        assert_eq!((row.failed(1 << 31), row.failed(1)), (1, 0));
        assert_eq!((row.failed((1 << 31) + 1), row.failed(1)), (1, 1));
        assert_eq!(row.failed(1 << 32), 0, "a whole turn on, but for one");
    }

    #[test]
    fn a_row_is_taken_over_and_saturates() {
        let row = Consecutive::new();
        row.seed(3, 5);
        assert_eq!((row.get(2), row.get(3), row.failed(3)), (0, 5, 6));
        row.seed(3, u64::MAX);
        assert_eq!((row.failed(3), row.get(3)), (u64::from(u32::MAX), u64::from(u32::MAX)));
    }
}
