use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A lock-free source of jitter: every component has its own stream, seeded apart from all others.
#[derive(Debug)]
pub(crate) struct Dice {
    state: AtomicU64,
}

impl Dice {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self { state: AtomicU64::new(seed.unwrap_or_else(|| fastrand::u64(..))) }
    }

    /// Uniform within 0..1.
    pub(crate) fn unit(&self) -> f64 {
        // Each draw advances the shared seed, so that concurrent draws differ.
        let seed = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        fastrand::Rng::with_seed(seed).f64()
    }

    /// Uniform within `low..=high`; `low` when they are reversed.
    pub(crate) fn between(&self, low: Duration, high: Duration) -> Duration {
        low.saturating_add(high.saturating_sub(low).mul_f64(self.unit()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn draws_spread_over_the_whole_range() {
        let jitter = Dice::new(Some(1));
        let draws: Vec<f64> = (0..10_000).map(|_| jitter.unit()).collect();
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!(draws.iter().any(|draw| *draw < 0.01) && draws.iter().any(|draw| *draw > 0.99));
    }

    #[test]
    fn two_sources_differ() {
        assert_ne!(Dice::new(None).unit(), Dice::new(None).unit());
    }
}
