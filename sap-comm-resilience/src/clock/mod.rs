//! Time as the components read it.

#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "absent.rs")]
mod coarse;
mod tokio_clock;

use std::time::Duration;

use tokio::time::Instant;

use coarse::Coarse;

/// Nanoseconds since a component was built, on tokio's clock: monotonic and saturating.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    coarse: Option<Coarse>,
}

impl Clock {
    /// How far [`recent`](Self::recent) lags behind: at most two ticks of the slowest kernels, unless the machine stood
    /// still.
    pub(crate) const LAG: u64 = 20_000_000;

    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), coarse: Coarse::new().filter(|_| !tokio_clock::CAN_PAUSE) }
    }

    /// As it is where nobody can pause tokio's clock.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn unpaused() -> Self {
        Self { origin: Instant::now(), coarse: Coarse::new() }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The same as of a tick ago, at less than half the price. On a clock that can be paused it is exact.
    #[inline]
    pub(crate) fn recent(&self) -> u64 {
        self.coarse.and_then(Coarse::now).unwrap_or_else(|| self.now())
    }

    #[inline]
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }
}

const SECOND: u64 = 1_000_000_000;

/// A duration as nanoseconds; anything over 584 years is `u64::MAX`.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    // One comparison, where saturating arithmetic takes two.
    if duration.as_secs() >= u64::MAX / SECOND {
        return u64::MAX;
    }
    duration.as_secs() * SECOND + u64::from(duration.subsec_nanos())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Trap 7.
    #[tokio::test(start_paused = true)]
    async fn an_instant_before_the_origin_reads_zero() {
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let clock = Clock::new();
        assert_eq!(clock.at(early), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), 2_000_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_recent_reading_follows_a_paused_clock() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.recent(), 2_000_000_000);
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[cfg_attr(miri, ignore = "its clock goes by steps, not by time")]
    fn a_recent_reading_is_a_little_late() {
        let clock = Clock::unpaused();
        let lag = |_| {
            let before = clock.now();
            let recent = clock.recent();
            assert!(recent <= clock.now() + 1_000_000, "it runs ahead");
            before.saturating_sub(recent)
        };
        // A thread that lost its core between two readings says nothing.
        assert!((0..1_000).map(lag).filter(|lag| *lag <= Clock::LAG).count() > 500);
    }

    /// Trap 7.
    #[test]
    fn a_huge_duration_saturates() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
        assert_eq!(nanos(Duration::from_nanos(u64::MAX)), u64::MAX);
        let last = Duration::new(u64::MAX / SECOND, 0) - Duration::from_nanos(1);
        assert_eq!(u128::from(nanos(last)), last.as_nanos());
    }
}
