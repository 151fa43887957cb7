//! The kernel's clock as of its last tick, where the kernel has one.

#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::time::{ClockId, clock_gettime};

use super::SECOND;

/// The monotonic clock, read without asking the hardware.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coarse {
    origin: u64,
}

impl Coarse {
    pub(super) fn new() -> Self {
        Self { origin: Self::fine().unwrap_or(0) }
    }

    /// Nanoseconds since it was built, if there is such a clock.
    #[inline]
    pub(super) fn now(self) -> Option<u64> {
        Some(Self::coarse()?.saturating_sub(self.origin))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn fine() -> Option<u64> {
        read(ClockId::CLOCK_MONOTONIC)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    fn coarse() -> Option<u64> {
        read(ClockId::CLOCK_MONOTONIC_COARSE)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn fine() -> Option<u64> {
        None
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn coarse() -> Option<u64> {
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn read(clock: ClockId) -> Option<u64> {
    let time = clock_gettime(clock).ok()?;
    Some(time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64)
}

#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests {
    use super::{super::Clock, *};

    #[test]
    fn it_lags_behind_by_a_tick_at_most() {
        let (fine, coarse) = (Clock::new(), Coarse::new());
        let lags: Vec<u64> = (0..1_000)
            .map(|_| {
                let before = fine.now();
                let lag = before.saturating_sub(coarse.now().unwrap());
                assert!(coarse.now().unwrap() <= fine.now() + 1_000_000, "it runs ahead");
                lag
            })
            .collect();
        // A thread that lost its core between two readings says nothing.
        assert!(lags.iter().filter(|lag| **lag <= Clock::LAG).count() > 500, "{lags:?}");
    }
}
