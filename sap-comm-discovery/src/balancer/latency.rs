use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::clock::millis;

/// The recent latency of an endpoint: jumps to peaks at once, forgets them by and by.
///
/// The peak EWMA of Finagle and linkerd. Value (`f32` seconds) and time (milliseconds, wrapping after 49 days) are the
/// halves of one word, so that they change together; only differences of times are used.
#[derive(Debug)]
pub(super) struct PeakEwma(AtomicU64);

/// Below this nothing is told apart.
const FLOOR: f32 = 1e-6;

impl PeakEwma {
    pub(super) fn new(initial: Duration, now: u64) -> Self {
        Self(AtomicU64::new(pack(initial.as_secs_f32(), now)))
    }

    /// Takes a sample.
    pub(super) fn observe(&self, sample: Duration, now: u64, decay: Duration) {
        let sample = sample.as_secs_f32();
        let update = |word| {
            let (value, keep) = (value(word), keep(word, now, decay));
            let next = if sample > value { sample } else { value * keep + sample * (1.0 - keep) };
            Some(pack(next, now))
        };
        // The closure never refuses, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// The latency to reckon with now, in seconds; an endpoint that is not asked gets attractive again.
    pub(super) fn current(&self, now: u64, decay: Duration) -> f64 {
        let word = self.0.load(Ordering::Relaxed);
        f64::from((value(word) * keep(word, now, decay)).max(FLOOR))
    }

    /// The latency as it was last reckoned, in seconds.
    pub(super) fn last(&self) -> f64 {
        f64::from(value(self.0.load(Ordering::Relaxed)))
    }
}

fn pack(value: f32, now: u64) -> u64 {
    u64::from(value.to_bits()) << 32 | u64::from(now as u32)
}

fn value(word: u64) -> f32 {
    f32::from_bits((word >> 32) as u32)
}

/// How much of the old value is left.
fn keep(word: u64, now: u64, decay: Duration) -> f32 {
    let elapsed = (now as u32).wrapping_sub(word as u32);
    // A racing thread may have written a slightly later time.
    let elapsed = if elapsed > u32::MAX / 2 { 0 } else { elapsed };
    (-(elapsed as f32) / millis(decay).max(1) as f32).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < right * 0.01
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let latency = PeakEwma::new(Duration::from_millis(10), 0);
        latency.observe(Duration::from_secs(1), 100, DECAY);
        assert!(close(latency.current(100, DECAY), 1.0));
        assert!(close(latency.current(10_100, DECAY), 0.3679));
        assert!(latency.current(10_000_000, DECAY) < 0.000_01);
    }

    #[test]
    fn lower_samples_pull_down_slowly() {
        let latency = PeakEwma::new(Duration::from_secs(1), 0);
        latency.observe(Duration::from_millis(100), 1_000, DECAY);
        assert!(latency.last() > 0.9);
        latency.observe(Duration::from_millis(100), 61_000, DECAY);
        assert!(close(latency.last(), 0.102));
    }
}
