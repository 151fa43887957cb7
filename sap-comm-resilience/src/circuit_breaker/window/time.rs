use super::{
    Sample, Totals,
    divisor::Divisor,
    word::{Tag, add, add_alone, read},
};
use crate::{
    clock::Clock,
    sync::{AtomicU64, Line, Ordering, WORDS_PER_LINE, fence},
};

/// Buckets of time in a ring, one ring a stripe, so that threads do not fight over a cache line.
///
/// It covers the current bucket and the full ones before it: between `window - window / buckets` and `window`.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    lines: Box<[Line]>,
    lines_per_stripe: usize,
    stripes: usize,
    buckets: usize,
    /// The ring is rounded up to a power of two, so that a place in it costs no division.
    ring_bits: u32,
    bucket: Divisor,
    /// For each stripe of one thread, the bucket that the thread was in last.
    last: Box<[Line]>,
}

/// Places in a line of `last`: where the bucket begins, how long it is, and its number.
const FROM: usize = 0;
const LENGTH: usize = 1;
const EPOCH: usize = 2;

#[derive(Clone, Copy)]
enum Counter {
    Succeeded,
    Failed,
    Slow,
}

impl TimeWindow {
    pub(super) fn new(window: u64, buckets: usize, stripes: usize) -> Self {
        let ring_bits = buckets.next_power_of_two().trailing_zeros();
        let lines_per_stripe = (3_usize << ring_bits).div_ceil(WORDS_PER_LINE);
        Self {
            lines: (0..stripes * lines_per_stripe).map(|_| Line::new()).collect(),
            lines_per_stripe,
            stripes,
            buckets,
            ring_bits,
            bucket: Divisor::new(window / buckets as u64),
            last: (1..stripes).map(|_| Line::new()).collect(),
        }
    }

    /// Whether a sample may be dated by a clock that lags: its buckets are so long that it hardly matters.
    #[inline]
    pub(super) fn bears_lag(&self) -> bool {
        self.bucket.value() >= 10 * Clock::LAG
    }

    #[inline]
    pub(super) fn record(&self, thread: usize, generation: u64, now: u64, sample: Sample) {
        let (bucket, tag) = self.place(generation, self.epoch_of(thread, now));
        let counter = if sample.failed { Counter::Failed } else { Counter::Succeeded };
        self.add(thread, counter, bucket, tag);
        if sample.slow {
            self.add_slow(thread, bucket, tag);
        }
    }

    #[cold]
    fn add_slow(&self, thread: usize, bucket: usize, tag: Tag) {
        self.add(thread, Counter::Slow, bucket, tag);
    }

    /// Threads of a low number have a stripe of their own; the last one is for all others.
    #[inline(always)]
    fn add(&self, thread: usize, counter: Counter, bucket: usize, tag: Tag) {
        match self.own_stripe(thread) {
            Some(own) => add_alone(self.word(own, counter, bucket), tag, 1),
            None => add(self.word(self.shared_stripe(), counter, bucket), tag, 1),
        }
    }

    #[inline]
    fn own_stripe(&self, thread: usize) -> Option<usize> {
        (thread < self.shared_stripe()).then_some(thread)
    }

    #[inline]
    fn shared_stripe(&self) -> usize {
        self.stripes - 1
    }

    pub(super) fn totals(&self, generation: u64, now: u64) -> Totals {
        // Of two threads that each record and then read, at least one sees both samples.
        fence(Ordering::SeqCst);
        let epoch = self.epoch(now);
        let oldest = epoch.saturating_sub(self.buckets as u64 - 1);
        let mut totals = Totals::default();
        for epoch in oldest..=epoch {
            let (bucket, tag) = self.place(generation, epoch);
            for stripe in 0..self.stripes {
                totals.succeeded += read(self.word(stripe, Counter::Succeeded, bucket), tag);
                totals.failed += read(self.word(stripe, Counter::Failed, bucket), tag);
                totals.slow += read(self.word(stripe, Counter::Slow, bucket), tag);
            }
        }
        totals
    }

    pub(super) fn clear(&self) {
        for line in &self.lines {
            for word in &line.0 {
                word.store(0, Ordering::Release);
            }
        }
    }

    pub(super) fn seed(&self, generation: u64, now: u64, totals: Totals) {
        let shared = self.shared_stripe();
        let (bucket, tag) = self.place(generation, self.epoch(now));
        add(self.word(shared, Counter::Succeeded, bucket), tag, totals.succeeded);
        add(self.word(shared, Counter::Failed, bucket), tag, totals.failed);
        add(self.word(shared, Counter::Slow, bucket), tag, totals.slow);
    }

    pub(super) fn stretch(&self, window: u64) {
        self.bucket.set(window / self.buckets as u64);
    }

    #[inline]
    fn epoch(&self, now: u64) -> u64 {
        self.bucket.divide(now)
    }

    /// The same. A thread mostly stays in its bucket, and then need not wait for the quotient.
    #[inline]
    fn epoch_of(&self, thread: usize, now: u64) -> u64 {
        let Some(Line(last)) = self.last.get(thread) else { return self.epoch(now) };
        let (from, length) = (last[FROM].load(Ordering::Relaxed), last[LENGTH].load(Ordering::Relaxed));
        if now.checked_sub(from).is_some_and(|within| within < length) && length == self.bucket.value() {
            return last[EPOCH].load(Ordering::Relaxed);
        }
        self.enter_bucket(last, now)
    }

    #[cold]
    fn enter_bucket(&self, last: &[AtomicU64; WORDS_PER_LINE], now: u64) -> u64 {
        let (epoch, length) = (self.epoch(now), self.bucket.value());
        // While a reload changes the length, the quotient may be that of neither: the next call divides again.
        last[FROM].store(epoch.wrapping_mul(length), Ordering::Relaxed);
        last[LENGTH].store(length, Ordering::Relaxed);
        last[EPOCH].store(epoch, Ordering::Relaxed);
        epoch
    }

    #[inline]
    fn place(&self, generation: u64, epoch: u64) -> (usize, Tag) {
        let slot = epoch & ((1 << self.ring_bits) - 1);
        (slot as usize, Tag::new(generation, epoch >> self.ring_bits))
    }

    #[inline]
    fn word(&self, stripe: usize, counter: Counter, bucket: usize) -> &AtomicU64 {
        let word = ((counter as usize) << self.ring_bits) + bucket;
        &self.lines[stripe * self.lines_per_stripe + word / WORDS_PER_LINE].0[word % WORDS_PER_LINE]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const OK: Sample = Sample { failed: false, slow: false };
    const FAILED: Sample = Sample { failed: true, slow: true };

    fn window() -> TimeWindow {
        TimeWindow::new(100, 10, 2)
    }

    #[test]
    fn the_bucket_that_a_thread_remembers_is_that_of_the_quotient() {
        for (window, longer) in [(100, 30), (1_009, 90_000), (10_000_000_000, 10_000_000_001)] {
            let time = TimeWindow::new(window, 10, 2);
            for window in [window, longer, window] {
                time.stretch(window);
                let length = window / 10;
                for bucket in [0, 1, 7, 6, 1 << 20, 3] {
                    for now in [0, 1, length - 1, length, length + 1].map(|within| bucket * length + within) {
                        assert_eq!(
                            [time.epoch_of(0, now), time.epoch_of(1, now)],
                            [now / length; 2],
                            "{now} / {length}"
                        );
                    }
                }
                assert_eq!(time.epoch_of(0, u64::MAX), u64::MAX / length);
            }
        }
    }

    #[test]
    fn a_bucket_of_one_length_is_not_remembered_at_another() {
        let time = TimeWindow::new(1_000, 10, 2);
        assert_eq!(time.epoch_of(0, 99), 0);
        time.stretch(100);
        assert_eq!(time.epoch_of(0, 99), 9);
        time.stretch(1_000);
        assert_eq!(time.epoch_of(0, 99), 0);
    }

    #[test]
    fn a_sample_leaves_with_its_bucket() {
        let window = window();
        window.record(0, 0, 5, FAILED);
        window.record(1, 0, 15, OK);
        assert_eq!(window.totals(0, 99), Totals { succeeded: 1, failed: 1, slow: 1 });
        assert_eq!(window.totals(0, 100), Totals { succeeded: 1, failed: 0, slow: 0 });
        assert_eq!(window.totals(0, 110), Totals::default());
    }

    /// Trap 8.
    #[test]
    fn a_huge_gap_clears_it_at_once() {
        let window = window();
        window.record(0, 0, 5, FAILED);
        assert_eq!(window.totals(0, u64::MAX), Totals::default());
        window.record(0, 0, u64::MAX, FAILED);
        assert_eq!(window.totals(0, u64::MAX).failed, 1);
    }

    #[test]
    fn a_generation_sees_its_own_samples() {
        let window = window();
        window.record(0, 1, 5, FAILED);
        assert_eq!(window.totals(2, 5), Totals::default());
        window.record(0, 2, 5, OK);
        window.record(0, 1, 5, OK);
        assert_eq!(window.totals(2, 5), Totals { succeeded: 1, failed: 0, slow: 0 });
    }

    #[test]
    fn a_sample_is_not_seen_again_a_million_buckets_later() {
        let window = window();
        window.record(0, 0, 5, FAILED);
        assert_eq!(window.totals(0, 5 + (10 << 20)), Totals::default());
    }

    #[test]
    fn only_threads_of_a_low_number_write_alone() {
        let window = TimeWindow::new(100, 10, 4);
        assert_eq!(
            [0, 2, 3, 4, usize::MAX].map(|thread| window.own_stripe(thread)),
            [Some(0), Some(2), None, None, None]
        );
        for thread in [0, 1, 2, 3, 9, usize::MAX] {
            window.record(thread, 0, 5, FAILED);
            window.record(thread, 0, 15, OK);
        }
        assert_eq!(window.totals(0, 20), Totals { succeeded: 6, failed: 6, slow: 6 });
        window.clear();
        assert_eq!(window.totals(0, 20), Totals::default());
    }

    #[test]
    fn a_longer_window_has_longer_buckets() {
        let window = window();
        window.stretch(1_000);
        window.record(0, 0, 99, FAILED);
        assert_eq!(window.totals(0, 999).failed, 1);
        assert_eq!(window.totals(0, 1_000), Totals::default());
    }

    #[test]
    fn a_window_that_was_seeded_counts_what_it_took_over() {
        let window = window();
        let totals = Totals { succeeded: 7, failed: 3, slow: 1 };
        window.seed(4, 50, totals);
        assert_eq!(window.totals(4, 50), totals);
    }
}
