//! Settling deliveries of one channel.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use sap_comm_core::Name;

use super::held::{Held, id_in};
use crate::{amqp::Channel, backend::Settlement};

/// The way to settle the delivery `tag` of message `id`; whether its queue takes it back.
pub(super) fn settlement(
    channel: &Channel,
    held: &Arc<Mutex<Held>>,
    tag: u64,
    id: Name,
    returns: bool,
) -> Box<dyn Settlement> {
    Box::new(Tag { channel: channel.clone(), held: Arc::clone(held), tag, id, returns, settled: false })
}

/// One delivery; given back when dropped.
struct Tag {
    channel: Channel,
    held: Arc<Mutex<Held>>,
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
        self.channel.has_ended()
    }

    fn ack(mut self: Box<Self>) {
        self.settled = true;
        if self.channel.has_ended() {
            self.held.lock().outlive(&self.id);
            tracing::debug!(
                event_id = id_in(&self.id),
                "the event was handled and will come again: its channel is gone"
            );
            return;
        }
        self.held.lock().release(&self.id);
        self.channel.ack(self.tag);
    }

    async fn ack_surely(self: Box<Self>) {
        let channel = self.channel.clone();
        self.ack();
        if let Err(error) = channel.synced().await {
            tracing::debug!(%error, "settlements may have come too late: the channel is gone");
        }
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        // A channel that is gone has given it back already, and the next one may have it in hand.
        if !self.settled && !self.channel.has_ended() {
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
