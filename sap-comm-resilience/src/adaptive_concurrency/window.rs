use crate::random::Dice;

/// As many latencies are kept as make a steady median.
const KEPT: usize = 101;

/// The calls that began and ended since the limit last moved: those before ran under another limit.
#[derive(Debug)]
pub(super) struct Window {
    began: u64,
    calls: u32,
    /// The most calls in flight at once.
    peak: u32,
    latencies: Vec<u64>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { began: 0, calls: 0, peak: 0, latencies: Vec::with_capacity(KEPT) }
    }

    /// Whether a call that began then ran under the present limit.
    pub(super) fn covers(&self, began: u64) -> bool {
        began >= self.began
    }

    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.began)
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn peak(&self) -> u32 {
        self.peak
    }

    /// Keeps every latency with the same chance, however many there are.
    pub(super) fn record(&mut self, latency: u64, in_flight: u32, dice: &Dice) {
        self.calls = self.calls.saturating_add(1);
        self.peak = self.peak.max(in_flight);
        if self.latencies.len() < KEPT {
            self.latencies.push(latency);
            return;
        }
        let place = (dice.unit() * f64::from(self.calls)) as usize;
        if let Some(kept) = self.latencies.get_mut(place) {
            *kept = latency;
        }
    }

    /// The median latency: neither one slow call nor one quick one moves it.
    pub(super) fn median(&mut self) -> Option<u64> {
        let middle = self.latencies.len().checked_sub(1)? / 2;
        Some(*self.latencies.select_nth_unstable(middle).1)
    }

    pub(super) fn begin(&mut self, now: u64) {
        self.began = now;
        self.calls = 0;
        self.peak = 0;
        self.latencies.clear();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_many_calls_is_kept_in_bounded_memory() {
        let (mut window, dice) = (Window::new(), Dice::new(Some(1)));
        for latency in 0..100_000 {
            window.record(latency, 1, &dice);
        }
        assert_eq!(window.latencies.capacity(), KEPT);
        let median = window.median().unwrap();
        assert!((35_000..65_000).contains(&median), "{median}");
    }

    #[test]
    fn an_empty_window_has_no_median() {
        let mut window = Window::new();
        assert_eq!(window.median(), None);
        window.record(7, 1, &Dice::new(Some(1)));
        assert_eq!(window.median(), Some(7));
        window.begin(9);
        assert_eq!((window.median(), window.covers(8), window.covers(9)), (None, false, true));
    }
}
