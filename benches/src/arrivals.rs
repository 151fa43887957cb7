use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::BenchError;

/// Longer than any broker takes to deliver the next message.
const PATIENCE: Duration = Duration::from_secs(20);

/// What reached the handler, and when, if somebody wants to know.
#[derive(Debug)]
pub struct Arrivals {
    /// Where times are kept, what they are counted from.
    epoch: Option<Instant>,
    /// Nanoseconds since the epoch by message number, or one; zero until it arrives.
    at: Box<[AtomicU64]>,
    count: AtomicUsize,
    unexpected: AtomicUsize,
    expected: AtomicUsize,
    reached: Notify,
}

impl Arrivals {
    /// Room for so many messages, numbered from zero.
    #[must_use]
    pub fn of(messages: u32) -> Self {
        Self {
            epoch: None,
            at: (0..messages).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicUsize::new(0),
            unexpected: AtomicUsize::new(0),
            expected: AtomicUsize::new(usize::MAX),
            reached: Notify::new(),
        }
    }

    /// Keeps the time of each arrival, which costs as much as reading the clock.
    #[must_use]
    pub fn timed(self) -> Self {
        Self { epoch: Some(Instant::now()), ..self }
    }

    /// The handler has the message with this number. Says whether it is the last of those expected.
    pub fn record(&self, number: u32) -> bool {
        let now = self.epoch.map_or(1, |epoch| u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1));
        let slot = self.at.get(usize::try_from(number).unwrap_or(usize::MAX));
        if slot.is_none_or(|slot| slot.swap(now, Ordering::Relaxed) != 0) {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let last = self.count.fetch_add(1, Ordering::AcqRel) + 1 == self.expected.load(Ordering::Acquire);
        if last {
            self.reached.notify_one();
        }
        last
    }

    /// Sets how many arrivals, counted from the beginning, [`Arrivals::all`] waits for. To be called before they are published.
    pub fn expect(&self, count: u32) {
        self.expected.store(usize::try_from(count).unwrap_or(usize::MAX), Ordering::Release);
    }

    /// Waits until everything expected has arrived.
    ///
    /// # Errors
    /// When messages stay away, come twice, or were never published.
    pub async fn all(&self) -> Result<(), BenchError> {
        let expected = self.expected.load(Ordering::Acquire);
        let mut arrived = self.count.load(Ordering::Acquire);
        while arrived < expected {
            let reached = tokio::time::timeout(PATIENCE, self.reached.notified()).await.is_ok();
            let before = std::mem::replace(&mut arrived, self.count.load(Ordering::Acquire));
            if !reached && before == arrived {
                return Err(BenchError::Lost { expected, arrived, waited: PATIENCE });
            }
        }
        match self.unexpected.load(Ordering::Relaxed) {
            0 => Ok(()),
            unexpected => Err(BenchError::Unexpected(unexpected)),
        }
    }

    /// When the message arrived, where times are kept.
    pub(crate) fn at(&self, number: u32) -> Option<Instant> {
        let nanos = self.at.get(usize::try_from(number).ok()?)?.load(Ordering::Acquire);
        self.epoch.filter(|_| nanos > 0).map(|epoch| epoch + Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_returns_once_the_last_has_arrived() {
        let arrivals = Arrivals::of(3).timed();
        arrivals.expect(2);
        assert!(!arrivals.record(1));
        assert!(arrivals.record(0));
        arrivals.all().await.unwrap();
        assert!(arrivals.at(0).is_some() && arrivals.at(2).is_none());
    }

    #[tokio::test]
    async fn without_times_arrivals_are_counted_all_the_same() {
        let arrivals = Arrivals::of(1);
        arrivals.expect(1);
        assert!(arrivals.record(0));
        arrivals.all().await.unwrap();
        assert!(arrivals.at(0).is_none());
    }

    #[tokio::test]
    async fn what_comes_twice_is_an_error() {
        let arrivals = Arrivals::of(2);
        arrivals.expect(2);
        for number in [0, 0, 9, 1] {
            arrivals.record(number);
        }
        assert!(matches!(arrivals.all().await, Err(BenchError::Unexpected(2))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_away_is_an_error() {
        let arrivals = Arrivals::of(2);
        arrivals.expect(2);
        arrivals.record(0);
        assert!(matches!(arrivals.all().await, Err(BenchError::Lost { expected: 2, arrived: 1, .. })));
    }
}
