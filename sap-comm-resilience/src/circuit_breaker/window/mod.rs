//! The sampling window: what the recent calls came to.

mod count;
mod divisor;
mod time;
mod word;

use count::CountWindow;
use time::TimeWindow;

use super::CircuitBreakerConfig;
use crate::clock::nanos;

/// What a call came to, as the window counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// Which clock tells when a sample was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Any: the window does not ask for the time.
    None,
    /// One that lags by up to [`Clock::LAG`](crate::clock::Clock::LAG).
    Coarse,
    Fine,
}

/// The window's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) slow: u64,
}

impl Totals {
    pub(crate) fn calls(self) -> u64 {
        self.succeeded + self.failed
    }
}

/// The last seconds, or the last calls. A sample of another generation than the one read is not seen.
#[derive(Debug)]
pub(crate) enum Window {
    Time(TimeWindow),
    Calls(CountWindow),
}

impl Window {
    pub(crate) fn of(config: &CircuitBreakerConfig) -> Self {
        match config.sampling_calls {
            Some(calls) => Self::Calls(CountWindow::new(calls as usize)),
            None => {
                let (window, buckets) = (nanos(config.sampling_window), config.sampling_buckets as usize);
                Self::Time(TimeWindow::new(window, buckets, crate::sync::stripes()))
            }
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn model_of_time(window: u64, buckets: usize) -> Self {
        Self::Time(TimeWindow::new(window, buckets, crate::sync::stripes()))
    }

    /// As the thread of this number would.
    #[cfg(all(test, loom))]
    pub(crate) fn record_as(&self, thread: usize, generation: u64, now: u64, sample: Sample) {
        match self {
            Self::Time(window) => window.record(thread, generation, now, sample),
            Self::Calls(window) => window.record(generation, sample),
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn model_of_calls(size: usize) -> Self {
        Self::Calls(CountWindow::new(size))
    }

    /// How well it needs to know when a sample was taken.
    #[inline]
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::Time(window) if window.bears_lag() => Precision::Coarse,
            Self::Time(_) => Precision::Fine,
            Self::Calls(_) => Precision::None,
        }
    }

    #[inline(always)]
    pub(crate) fn record(&self, generation: u64, now: u64, sample: Sample) {
        match self {
            Self::Time(window) => window.record(crate::thread_number::thread_number(), generation, now, sample),
            Self::Calls(window) => window.record(generation, sample),
        }
    }

    pub(crate) fn totals(&self, generation: u64, now: u64) -> Totals {
        match self {
            Self::Time(window) => window.totals(generation, now),
            Self::Calls(window) => window.totals(generation),
        }
    }

    /// Forgets everything, so that not even a generation whose low bits come round again sees it.
    pub(crate) fn clear(&self) {
        match self {
            Self::Time(window) => window.clear(),
            Self::Calls(window) => window.clear(),
        }
    }

    /// Takes over `totals` as if they had just been recorded.
    pub(crate) fn seed(&self, generation: u64, now: u64, totals: Totals) {
        if let Self::Time(window) = self {
            window.seed(generation, now, totals);
        }
    }

    /// Changes the length of a window of time. The caller begins a generation and seeds it.
    pub(crate) fn stretch(&self, window: u64) {
        if let Self::Time(time) = self {
            time.stretch(window);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FAILED: Sample = Sample { failed: true, slow: false };
    const SLOW: Sample = Sample { failed: false, slow: true };

    #[test]
    fn a_window_is_of_time_or_of_calls() {
        let mut config = CircuitBreakerConfig::default();
        let time = Window::of(&config);
        config.sampling_calls = Some(20);
        let calls = Window::of(&config);
        assert_eq!((time.precision(), calls.precision()), (Precision::Coarse, Precision::None));
        for window in [time, calls] {
            for sample in [FAILED, FAILED, FAILED, SLOW, SLOW] {
                window.record(1, 5, sample);
            }
            let totals = window.totals(1, 5);
            assert_eq!((totals, totals.calls()), (Totals { succeeded: 2, failed: 3, slow: 2 }, 5));
            window.clear();
            assert_eq!(window.totals(1, 5), Totals::default());
        }
    }

    #[test]
    fn only_a_window_of_long_buckets_bears_a_clock_that_lags() {
        let window = Window::of(&CircuitBreakerConfig::default());
        for (seconds, precision) in [(0.5, Precision::Fine), (1.9, Precision::Fine), (2.0, Precision::Coarse)] {
            window.stretch(nanos(std::time::Duration::from_secs_f64(seconds)));
            assert_eq!(window.precision(), precision, "{seconds} s in ten buckets");
        }
    }

    #[test]
    fn a_window_of_time_stretches_and_takes_over() {
        let window = Window::of(&CircuitBreakerConfig::default());
        window.stretch(nanos(std::time::Duration::from_secs(100)));
        let totals = Totals { succeeded: 4, failed: 2, slow: 1 };
        window.seed(7, 0, totals);
        assert_eq!(window.totals(7, 99_000_000_000), totals);
    }
}
