//! Linux's clock as of the last tick.

use nix::time::{ClockId, clock_gettime};

use super::SECOND;

/// The monotonic clock, read without asking the hardware.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coarse {
    origin: u64,
}

impl Coarse {
    pub(super) fn new() -> Self {
        Self { origin: read(ClockId::CLOCK_MONOTONIC).unwrap_or(0) }
    }

    /// Nanoseconds since it was built, if the kernel knows such a clock.
    #[inline]
    pub(super) fn now(self) -> Option<u64> {
        Some(read(ClockId::CLOCK_MONOTONIC_COARSE)?.saturating_sub(self.origin))
    }
}

#[inline]
fn read(clock: ClockId) -> Option<u64> {
    let time = clock_gettime(clock).ok()?;
    Some(time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{super::Clock, *};

    #[test]
    fn it_lags_behind_by_a_tick_at_most() {
        let fine = Clock::new();
        // Made at once: a thread that loses its core in between tries again.
        let (apart, coarse, _) = std::iter::repeat_with(|| (fine.now(), Coarse::new(), fine.now()))
            .find(|(before, _, after)| after - before < 100_000)
            .unwrap();
        let lags: Vec<u64> = (0..1_000)
            .map(|_| {
                let before = fine.now();
                let lag = before.saturating_sub(coarse.now().unwrap() + apart);
                assert!(coarse.now().unwrap() + apart <= fine.now() + 100_000, "it runs ahead");
                lag
            })
            .collect();
        // A thread that lost its core between two readings says nothing.
        assert!(lags.iter().filter(|lag| **lag <= Clock::LAG).count() > 500, "{lags:?}");
    }
}
