use std::time::Duration;

use governor::clock::Clock;

/// Tokio's clock, so that a test may pause it.
#[derive(Debug, Clone)]
pub(super) struct TokioClock(crate::clock::Clock);

impl TokioClock {
    pub(super) fn new() -> Self {
        Self(crate::clock::Clock::new())
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now())
    }
}
