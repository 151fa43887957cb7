//! Streams: logs that are read, not emptied.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::Mutex;
use sap_comm_core::Timestamp;
use tokio_util::sync::CancellationToken;

use super::SubscribeError;

/// Where a consumer begins to read a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamOffset {
    /// With the oldest event that is kept.
    First,
    /// With the last chunk that was written, of as many events as the broker wrote at once.
    Last,
    /// With what is published from now on. If the connection is lost before anything came, that is from then on again.
    Next,
    /// With the chunk that holds this point in time: some events before it may come too. Seconds count.
    Timestamp(Timestamp),
    /// With this event, counted from 0 over the whole life of the stream; what
    /// [`SubscriptionHandle::next_offset`](crate::SubscriptionHandle::next_offset) told.
    Number(u64),
}

/// A [stream](crate::Subscription::stream): where to begin, and how much of it is kept.
///
/// ```
/// use std::time::Duration;
/// use sap_comm_events::{Stream, StreamOffset, Subscription};
///
/// let week = Stream::from(StreamOffset::First).max_age(Duration::from_secs(7 * 86_400));
/// let subscription = Subscription::new("order.events").group("projections").stream(week);
/// # drop(subscription);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Stream {
    pub(crate) offset: StreamOffset,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_bytes: Option<u64>,
}

impl From<StreamOffset> for Stream {
    fn from(offset: StreamOffset) -> Self {
        Self { offset, max_age: None, max_bytes: None }
    }
}

impl Stream {
    /// Lets the broker drop events that are older, whole segments at a time. Without it and
    /// [`max_bytes`](Self::max_bytes) a stream grows as long as the disk takes it. At least a second.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Lets the broker drop the oldest events beyond so many bytes, whole segments of up to 500 MB at a time.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    pub(super) fn check(&self) -> Result<(), SubscribeError> {
        let invalid = |reason| Err(SubscribeError::Option { option: "stream", reason });
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return invalid("max_age must be at least a second");
        }
        if self.max_bytes.is_some_and(|bytes| bytes == 0 || i64::try_from(bytes).is_err()) {
            return invalid("max_bytes must be between 1 and 2^63 - 1");
        }
        Ok(())
    }
}

/// How far one consumer has read a stream, over all its connections.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stream: Stream,
    position: Mutex<Position>,
}

#[derive(Debug, Default)]
struct Position {
    /// Where to go on once nothing is in hand: behind the last event that was delivered.
    next: Option<u64>,
    /// In hand.
    open: BTreeSet<u64>,
    /// Cancelled when an event in hand is given back: the broker does not deliver it again by itself.
    given_back: CancellationToken,
}

impl Reading {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, position: Mutex::default() }
    }

    /// The first event that is not settled, once there was any.
    pub(crate) fn next(&self) -> Option<u64> {
        let position = self.position.lock();
        position.open.first().copied().or(position.next)
    }

    /// Begins to read anew, with what is returned; the token says when to do so again.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only RabbitMQ has streams"))]
    pub(crate) fn begin(&self) -> (StreamOffset, CancellationToken) {
        let mut position = self.position.lock();
        let next = position.open.first().copied().or(position.next);
        *position = Position { next, ..Position::default() };
        (next.map_or(self.stream.offset, StreamOffset::Number), position.given_back.clone())
    }

    /// Takes an event into hand.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only RabbitMQ has streams"))]
    pub(crate) fn take(&self, offset: u64) {
        let mut position = self.position.lock();
        position.open.insert(offset);
        position.next = position.next.max(Some(offset.saturating_add(1)));
    }

    /// The event is settled.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only RabbitMQ has streams"))]
    pub(crate) fn settle(&self, offset: u64) {
        self.position.lock().open.remove(&offset);
    }

    /// The event is not settled, and nobody holds it any more.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "only RabbitMQ has streams"))]
    pub(crate) fn give_back(&self, offset: u64) {
        let position = self.position.lock();
        if position.open.contains(&offset) {
            position.given_back.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_with_the_first_event_that_is_not_settled() {
        let reading = Reading::new(StreamOffset::Next.into());
        assert_eq!((reading.next(), reading.begin().0), (None, StreamOffset::Next));
        for offset in 7..10 {
            reading.take(offset);
        }
        reading.settle(8);
        assert_eq!(reading.next(), Some(7));
        reading.settle(7);
        assert_eq!(reading.next(), Some(9));
        let (from, given_back) = reading.begin();
        assert_eq!(from, StreamOffset::Number(9));
        reading.take(9);
        reading.settle(9);
        // What came over an earlier connection is no business of this one.
        reading.give_back(9);
        assert_eq!((reading.next(), given_back.is_cancelled()), (Some(10), false));
        reading.take(10);
        reading.give_back(10);
        assert_eq!((reading.next(), given_back.is_cancelled()), (Some(10), true));
        assert_eq!(reading.begin().0, StreamOffset::Number(10));
    }

    #[test]
    fn what_no_broker_would_keep_is_refused() {
        let stream = Stream::from(StreamOffset::First);
        assert!(stream.max_age(Duration::from_secs(1)).max_bytes(1).check().is_ok());
        for bad in [stream.max_age(Duration::ZERO), stream.max_bytes(0), stream.max_bytes(u64::MAX)] {
            assert!(bad.check().unwrap_err().to_string().contains("stream"), "{bad:?}");
        }
    }
}
