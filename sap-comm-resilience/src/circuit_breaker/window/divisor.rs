use crate::sync::{AtomicU64, Ordering};

/// A divisor that may change and costs a multiplication: a division of two words takes up to ten times as long.
#[derive(Debug)]
pub(super) struct Divisor {
    value: AtomicU64,
    /// 2^64 / value, rounded down.
    reciprocal: AtomicU64,
}

impl Divisor {
    /// Anything below 2 counts as 2.
    pub(super) fn new(value: u64) -> Self {
        let divisor = Self { value: AtomicU64::new(0), reciprocal: AtomicU64::new(0) };
        divisor.set(value);
        divisor
    }

    pub(super) fn set(&self, value: u64) {
        let value = value.max(2);
        self.value.store(value, Ordering::Release);
        self.reciprocal.store(((1_u128 << 64) / u128::from(value)) as u64, Ordering::Release);
    }

    #[inline]
    pub(super) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Exact: the estimate is the quotient or one less.
    #[inline]
    pub(super) fn divide(&self, dividend: u64) -> u64 {
        let reciprocal = self.reciprocal.load(Ordering::Relaxed);
        let value = self.value.load(Ordering::Relaxed);
        let estimate = ((u128::from(dividend) * u128::from(reciprocal)) >> 64) as u64;
        let rest = dividend.wrapping_sub(estimate.wrapping_mul(value));
        estimate + u64::from(rest >= value)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_divides_exactly() {
        for value in [2, 3, 7, 1_000_000, 1_000_000_000, 31_536_000_000_000_000, u64::MAX] {
            let divisor = Divisor::new(value);
            let multiples = [1, 2, 3, 1_000].map(|times: u64| value.wrapping_mul(times));
            let around = multiples.iter().flat_map(|at| [at.wrapping_sub(1), *at, at.wrapping_add(1)]);
            for dividend in around.chain([0, 1, u64::MAX - 1, u64::MAX]) {
                assert_eq!(divisor.divide(dividend), dividend / value, "{dividend} / {value}");
            }
        }
    }
}
