use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{PublishError, message::Message, rabbit::returns::Mark, topology::Target};

/// A message on its way, and who waits for it.
pub(super) struct Job {
    pub(super) target: Target,
    pub(super) message: Message,
    pub(super) reply: oneshot::Sender<Result<(), PublishError>>,
    /// Whether the broker may have it.
    pub(super) sent: Arc<AtomicBool>,
    /// Whether it was sent before over a channel that is gone.
    pub(super) resent: bool,
    pub(super) _room: OwnedSemaphorePermit,
}

impl Job {
    /// Whether nobody waits any more and it is no harm to forget it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    pub(super) fn mark_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    /// The exchange and routing key to publish with.
    pub(super) fn route(&self) -> (&str, &str) {
        match &self.target {
            Target::Exchange { name, .. } => (name, &self.message.event_type),
            Target::Queue(name) => ("", name),
            Target::Later { enters, .. } => (enters, &self.message.event_type),
        }
    }

    /// What the broker would return it as.
    pub(super) fn mark(&self) -> Mark {
        let (exchange, key) = self.route();
        // An id that is too long for the property travels without.
        let id = if self.message.id.len() > 255 { "" } else { &self.message.id };
        (exchange.to_owned(), key.to_owned(), id.to_owned())
    }

    pub(super) fn answer(self, result: Result<(), PublishError>) {
        // Whoever asked may have stopped waiting.
        drop(self.reply.send(result));
    }

    pub(super) fn confirmed(self) {
        self.answer(Ok(()));
    }

    pub(super) fn unroutable(self) {
        let exchange = match &self.target {
            Target::Exchange { name, .. } | Target::Queue(name) | Target::Later { name, .. } => name.clone(),
        };
        let event_type = self.message.event_type.clone();
        self.answer(Err(PublishError::Unroutable { exchange, event_type }));
    }

    pub(super) fn unknown(self) {
        let id = self.message.id.clone();
        self.answer(Err(PublishError::Unknown { id }));
    }

    pub(super) fn nacked(self, reason: String) {
        let id = self.message.id.clone();
        self.answer(Err(PublishError::Nacked { id, reason }));
    }
}
