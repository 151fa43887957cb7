//! Linux's clock as of the last tick: mostly 4 ms ago, and sometimes another 4.

use nix::time::{ClockId, clock_gettime};

use super::SECOND;

/// The monotonic clock, which [`Instant`](std::time::Instant) is too, read without asking the hardware.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coarse {
    origin: u64,
}

impl Coarse {
    /// From now on, if the kernel knows such a clock.
    pub(super) fn new() -> Option<Self> {
        read(ClockId::CLOCK_MONOTONIC_COARSE)?;
        Some(Self { origin: read(ClockId::CLOCK_MONOTONIC)? })
    }

    /// Nanoseconds since it was built.
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
    #[cfg_attr(miri, ignore = "its clock goes by steps, not by time")]
    fn it_counts_nanoseconds_from_its_origin() {
        let late = |_| {
            let before = read(ClockId::CLOCK_MONOTONIC).unwrap();
            let clock = Coarse { origin: before - 5 * SECOND / 2 };
            let now = clock.now().unwrap();
            let after = read(ClockId::CLOCK_MONOTONIC).unwrap();
            assert!(now <= 5 * SECOND / 2 + (after - before), "it runs ahead");
            (5 * SECOND / 2).saturating_sub(now)
        };
        // A thread that lost its core between two readings says nothing.
        assert!((0..1_000).map(late).filter(|late| *late <= Clock::LAG).count() > 500);
    }
}
