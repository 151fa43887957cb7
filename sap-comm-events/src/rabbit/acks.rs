//! Settling deliveries of one channel: one task sends all acknowledgements, as few frames as it can.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::{Channel, options::ChannelFlowOptions};
use parking_lot::Mutex;
use sap_comm_core::Name;
use tokio::sync::{mpsc, oneshot};

use super::{held::Held, ledger::Ledger};
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
    pub(super) fn settlement(&self, tag: u64, id: Name) -> Box<dyn Settlement> {
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
    id: Name,
    settled: bool,
}

#[async_trait]
impl Settlement for Tag {
    fn ack(mut self: Box<Self>) {
        self.settled = true;
        self.acks.held.lock().release(&self.id);
        if self.acks.orders.send(Order::Ack(self.tag)).is_err() {
            tracing::debug!(
                event_id = self.id.as_str(),
                "the event was handled and will come again: its channel is gone"
            );
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
            self.acks.held.lock().give_back(&self.id);
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
