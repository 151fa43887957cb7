//! Settling deliveries of one channel: one task sends all acknowledgements, as few frames as it can.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicNackOptions, ChannelFlowOptions},
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::held::Held;
use crate::backend::Settlement;

/// How many settlements are looked at together.
const BATCH: usize = 256;

/// An order to the task.
enum Order {
    Ack(u64),
    GiveBack(u64),
    /// Answered once everything before is sent.
    Flush(oneshot::Sender<()>),
    /// Answered once the broker has everything before.
    Sync(oneshot::Sender<()>),
}

/// The deliveries of one channel; the task ends with the last clone and the last delivery.
#[derive(Clone)]
pub(super) struct Acks {
    orders: mpsc::UnboundedSender<Order>,
    held: Arc<Mutex<Held>>,
}

impl Acks {
    /// Starts the task of `channel`. Its orders are bounded by the deliveries that the channel holds.
    pub(super) fn start(channel: Channel, held: Arc<Mutex<Held>>) -> Self {
        let (orders, mut queue) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut ledger, mut batch) = (Ledger::default(), Vec::new());
            while queue.recv_many(&mut batch, BATCH).await > 0 {
                let (mut frames, mut flushed, mut synced) = (Vec::new(), Vec::new(), Vec::new());
                for order in batch.drain(..) {
                    match order {
                        Order::Ack(tag) => ledger.ack(tag),
                        Order::GiveBack(tag) => frames.push(ledger.give_back(tag)),
                        Order::Flush(done) => flushed.push(done),
                        Order::Sync(done) => synced.push(done),
                    }
                }
                frames.extend(ledger.due());
                for frame in frames {
                    if let Err(error) = frame.send(&channel).await {
                        // The broker gives every delivery of the channel out again.
                        tracing::debug!(%error, "a settlement came too late: the channel is gone");
                        return;
                    }
                }
                // The broker answers a channel in order, so its answer to anything says that it has what came before.
                if !synced.is_empty()
                    && let Err(error) = channel.channel_flow(ChannelFlowOptions { active: true }).await
                {
                    tracing::debug!(%error, "settlements may have come too late: the channel is gone");
                    return;
                }
                for done in flushed.into_iter().chain(synced) {
                    // Who asked may have stopped waiting.
                    let _ = done.send(());
                }
            }
        });
        Self { orders, held }
    }

    /// The way to settle the delivery `tag` of message `id`.
    pub(super) fn settlement(&self, tag: u64, id: String) -> Box<dyn Settlement> {
        Box::new(Tag { acks: self.clone(), tag, id, settled: false })
    }

    /// Waits until every settlement so far is sent.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_ok() {
            // An error means that the channel is gone, and nothing is left to send.
            let _ = flushed.await;
        }
    }
}

/// One delivery; given back when dropped.
struct Tag {
    acks: Acks,
    tag: u64,
    id: String,
    settled: bool,
}

#[async_trait]
impl Settlement for Tag {
    fn ack(mut self: Box<Self>) {
        self.settled = true;
        self.acks.held.lock().release(&self.id);
        if self.acks.orders.send(Order::Ack(self.tag)).is_err() {
            tracing::debug!(event_id = self.id, "the event was handled and will come again: its channel is gone");
        }
    }

    async fn ack_surely(self: Box<Self>) {
        let orders = self.acks.orders.clone();
        self.ack();
        let (done, synced) = oneshot::channel();
        if orders.send(Order::Sync(done)).is_ok() {
            // An error means that the channel is gone, and the event comes again.
            let _ = synced.await;
        }
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        if !self.settled {
            // A channel that is gone has given it back already.
            let _ = self.acks.orders.send(Order::GiveBack(self.tag));
        }
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tag").field("tag", &self.tag).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64 },
}

impl Frame {
    async fn send(self, channel: &Channel) -> lapin::Result<()> {
        match self {
            Self::Ack { tag, multiple } => channel.basic_ack(tag, BasicAckOptions { multiple }).await,
            Self::Nack { tag } => channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue: true }).await,
        }
    }
}

/// Which delivery tags are settled, and which of those the broker knows of.
///
/// A multiple acknowledgement covers only tags that are settled, and names one that the broker does not know of yet.
#[derive(Debug, Default)]
struct Ledger {
    /// Every tag up to here is settled, and the broker knows.
    floor: u64,
    /// Acknowledged; the broker does not know.
    acked: BTreeSet<u64>,
    /// Settled beyond the floor; the broker knows.
    told: BTreeSet<u64>,
}

impl Ledger {
    fn ack(&mut self, tag: u64) {
        self.acked.insert(tag);
    }

    fn give_back(&mut self, tag: u64) -> Frame {
        self.told.insert(tag);
        Frame::Nack { tag }
    }

    /// The acknowledgements to send now: one for the unbroken run from the floor, one for each beyond a gap.
    fn due(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (mut last, mut count) = (None, 0);
        loop {
            let next = self.floor + 1;
            if self.acked.remove(&next) {
                last = Some(next);
                count += 1;
            } else if !self.told.remove(&next) {
                break;
            }
            self.floor = next;
        }
        if let Some(tag) = last {
            frames.push(Frame::Ack { tag, multiple: count > 1 });
        }
        for tag in std::mem::take(&mut self.acked) {
            frames.push(Frame::Ack { tag, multiple: false });
            self.told.insert(tag);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_is_one_frame_and_a_gap_waits_for_nobody() {
        let mut ledger = Ledger::default();
        for tag in [1, 2, 3, 5] {
            ledger.ack(tag);
        }
        assert_eq!(ledger.due(), [Frame::Ack { tag: 3, multiple: true }, Frame::Ack { tag: 5, multiple: false }]);
        ledger.ack(4);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 4, multiple: false }]);
        ledger.ack(6);
        assert_eq!(ledger.give_back(7), Frame::Nack { tag: 7 });
        ledger.ack(8);
        assert_eq!(ledger.due(), [Frame::Ack { tag: 8, multiple: true }]);
    }

    proptest! {
        /// A broker that follows AMQP's rules accepts every frame, and ends with exactly what was decided.
        #[test]
        fn every_tag_is_settled_once_and_as_decided(
            order in Just((1_u64..=60).collect::<Vec<_>>()).prop_shuffle(),
            back in proptest::collection::vec(any::<bool>(), 60),
            batch in 1_usize..20,
        ) {
            let mut ledger = Ledger::default();
            let mut outstanding: BTreeSet<u64> = (1..=60).collect();
            let (mut acked, mut nacked) = (BTreeSet::new(), BTreeSet::new());
            for tags in order.chunks(batch) {
                let mut frames = Vec::new();
                for tag in tags {
                    if back[*tag as usize - 1] { frames.push(ledger.give_back(*tag)) } else { ledger.ack(*tag) }
                }
                frames.extend(ledger.due());
                for frame in frames {
                    match frame {
                        Frame::Nack { tag } => { prop_assert!(outstanding.remove(&tag)); nacked.insert(tag); }
                        Frame::Ack { tag, multiple } => {
                            prop_assert!(outstanding.contains(&tag), "tag {} is unknown to the broker", tag);
                            let covered: Vec<u64> = outstanding.iter().copied().filter(|t| *t == tag || multiple && *t < tag).collect();
                            for tag in covered { outstanding.remove(&tag); acked.insert(tag); }
                        }
                    }
                }
            }
            let decided: BTreeSet<u64> = (1..=60).filter(|tag| !back[*tag as usize - 1]).collect();
            prop_assert!(outstanding.is_empty());
            prop_assert_eq!(acked, decided);
            prop_assert_eq!(nacked.len(), back.iter().filter(|back| **back).count());
        }
    }
}
