//! Who waits for which answer.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use sap_comm_core::{Name, id};
use tokio::sync::{OnceCell, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::RequestError;
use crate::{
    Broker, SubscribeError,
    backend::{Limits, Source},
    message::Message,
    topology::Topology,
};

/// The answers to the requests of one broker, through a queue of its own that is made for the first of them.
#[derive(Default)]
pub(crate) struct Replies(OnceCell<Open>);

/// A queue that is consumed.
pub(super) struct Open {
    queue: String,
    waiting: Waiting,
    capacity: usize,
    _task: AbortOnDropHandle<()>,
}

/// By the id of the request.
type Waiting = Arc<Mutex<HashMap<Name, oneshot::Sender<Arc<Message>>>>>;

/// A place in the line; dropped, nobody waits any more.
pub(super) struct Ticket {
    id: Name,
    waiting: Waiting,
    reply: oneshot::Receiver<Arc<Message>>,
}

/// Answers held ahead: they are settled as soon as they are looked at.
const PREFETCH: u16 = 256;

impl Replies {
    /// The queue, made now if it was not before.
    pub(super) async fn open(&self, broker: &Broker) -> Result<&Open, SubscribeError> {
        let open = async || {
            let queue = id::prefixed(&format!("{}.replies", broker.service()));
            let limits = Limits { prefetch: PREFETCH, concurrency: 1, ordered: true, redeliveries: u32::MAX };
            let source = broker.backend().consume(Topology::of_replies(&queue), limits).await?;
            let waiting = Waiting::default();
            let task = AbortOnDropHandle::new(tokio::spawn(hand_out(source, Arc::clone(&waiting))));
            Ok(Open { queue, waiting, capacity: broker.config().queue_capacity, _task: task })
        };
        self.0.get_or_try_init(open).await
    }
}

impl Open {
    pub(super) fn queue(&self) -> &str {
        &self.queue
    }

    /// Begins to wait for the answer to request `id`.
    pub(super) fn expect(&self, id: &Name) -> Result<Ticket, RequestError> {
        let (sender, reply) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.capacity {
            return Err(RequestError::TooMany { capacity: self.capacity });
        }
        waiting.insert(id.clone(), sender);
        Ok(Ticket { id: id.clone(), waiting: Arc::clone(&self.waiting), reply })
    }
}

impl Ticket {
    /// The answer; `None` once the broker is closed.
    pub(super) async fn reply(&mut self) -> Option<Arc<Message>> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

/// Hands answers to those who wait, until the broker is closed.
async fn hand_out(mut source: Box<dyn Source>, waiting: Waiting) {
    while let Some(delivery) = source.next().await {
        let message = Arc::clone(&delivery.message);
        delivery.settlement.ack();
        let id = message.correlation_id.as_deref().unwrap_or_default();
        let waits = waiting.lock().remove(id);
        if waits.is_none_or(|reply| reply.send(message).is_err()) {
            tracing::debug!("an answer is dropped: nobody waits for it, or not any more");
        }
    }
    // Whoever still waits learns that no answer will come.
    waiting.lock().clear();
}
