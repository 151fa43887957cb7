use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since a component was built, on tokio's clock: monotonic and saturating.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    #[inline]
    pub(crate) fn at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.origin))
    }
}

/// A duration as nanoseconds; anything over 584 years is `u64::MAX`.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instant_before_the_origin_reads_zero() {
        let early = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let clock = Clock::new();
        assert_eq!(clock.at(early), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), 2_000_000_000);
    }

    #[test]
    fn a_huge_duration_saturates() {
        assert_eq!(nanos(Duration::MAX), u64::MAX);
    }
}
