//! Settling deliveries of one channel.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use sap_comm_core::Name;
use tokio::time::timeout;

use super::{
    held::{Held, id_in},
    link::ANSWER,
};
use crate::{
    amqp::{Channel, Delivery},
    backend::Settlement,
};

/// The way to settle a delivery of message `id`; whether its queue takes it back.
pub(super) fn settlement(
    channel: &Channel,
    held: &Arc<Mutex<Held>>,
    &Delivery { consumer, tag, .. }: &Delivery,
    id: Name,
    returns: bool,
) -> Box<dyn Settlement> {
    Box::new(Tag { channel: channel.clone(), held: Arc::clone(held), consumer, tag, id, returns, settled: false })
}

/// One delivery; given back when dropped.
struct Tag {
    channel: Channel,
    held: Arc<Mutex<Held>>,
    consumer: u32,
    tag: u64,
    id: Name,
    /// A stream takes nothing back, and RabbitMQ closes the connection of whoever tries.
    returns: bool,
    settled: bool,
}

#[async_trait]
impl Settlement for Tag {
    #[cfg(feature = "otel")]
    fn tag(&self) -> Option<u64> {
        Some(self.tag)
    }

    fn is_void(&self) -> bool {
        self.channel.has_lost(self.consumer)
    }

    fn ack(mut self: Box<Self>) {
        self.settled = true;
        if self.is_void() {
            self.held.lock().outlive(&self.id);
            tracing::debug!(
                event_id = id_in(&self.id),
                "the event was handled and will come again: its consumer is gone"
            );
            return;
        }
        self.held.lock().release(&self.id);
        self.channel.ack(self.tag);
    }

    async fn ack_surely(self: Box<Self>) {
        let channel = self.channel.clone();
        self.ack();
        // Without heartbeats nothing else tells that nobody is there any more.
        let synced = timeout(ANSWER, channel.synced()).await;
        if !matches!(synced, Ok(Ok(()))) {
            tracing::debug!(?synced, "settlements may have come too late: the channel is gone, or the broker silent");
        }
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        // A consumer that is gone has given it back already, and the next one may have it in hand.
        if !self.settled && !self.is_void() {
            self.held.lock().give_back(&self.id);
            if self.returns {
                self.channel.give_back(self.tag);
            }
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tag").field("tag", &self.tag).field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        amqp::{Content, Event, tests::connected},
        backend::Redelivered,
        rabbit::held::Arrival,
    };

    fn delivery(consumer: u32, tag: u64) -> Delivery {
        Delivery { consumer, tag, redelivered: false, content: Content::of("k", b"\0\0", b"") }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_to_a_consumer_that_the_broker_ended_is_back_already() {
        let (client, mut broker) = connected().await;
        let (channel, mut events) = broker.opens(&client).await;
        let held = Arc::new(Mutex::new(Held::default()));
        let taken = |id: &str, consumer, tag| {
            held.lock().take(id, Arrival::default());
            settlement(&channel, &held, &delivery(consumer, tag), id.into(), true)
        };
        let (handled, dropped, of_another) = (taken("a", 0, 1), taken("b", 0, 2), taken("c", 1, 3));
        broker.cancels(0).await;
        assert!(matches!(events.recv().await, Some(Event::Cancelled)));
        let void = [&handled, &dropped, &of_another].map(|settlement| settlement.is_void());
        assert_eq!(void, [true, true, false]);
        handled.ack();
        drop(dropped);
        of_another.ack();
        assert_eq!(broker.hears_ack().await, 3);
        held.lock().renew(3);
        let again = Arrival { redelivered: true, suspects: 1, ..Arrival::default() };
        let known = ["a", "b", "c"].map(|id| held.lock().take(id, again));
        assert_eq!(known, [Redelivered::Times(1), Redelivered::No, Redelivered::Uncounted]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_does_not_wait_for_a_silent_broker_for_ever() {
        let (client, mut broker) = connected().await;
        let (channel, _events) = broker.opens(&client).await;
        let held = Arc::new(Mutex::new(Held::default()));
        settlement(&channel, &held, &delivery(0, 1), "a".into(), true).ack_surely().await;
        assert_eq!(broker.hears_ack().await, 1);
        assert!(!client.lost().is_cancelled(), "it did not take the heartbeat to end it");
    }
}
