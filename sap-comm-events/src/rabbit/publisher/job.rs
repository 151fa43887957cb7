use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    PublishError,
    amqp::Content,
    message::{Message, header},
    topology::Target,
};

/// A message on its way, and who waits for it.
pub(super) struct Job {
    pub(super) target: Target,
    pub(super) message: Message,
    pub(super) reply: oneshot::Sender<Result<(), PublishError>>,
    /// Whether the broker may have it.
    pub(super) sent: Arc<AtomicBool>,
    /// Whether it was sent before over a channel that is gone.
    pub(super) resent: bool,
    /// Whether the broker may have taken it over that.
    pub(super) may_be_there: bool,
    /// Whether the broker returned it.
    pub(super) returned: bool,
    /// Whether an earlier one of its ordering key was refused after it was sent: it is not sent again, or it would overtake that.
    pub(super) follows_refused: bool,
    /// At how many looks it was in flight.
    pub(super) looks: u8,
    /// Whether it counts among those that may be in flight, and may be why a channel ended.
    pub(super) counts: bool,
    /// Its room in the queue; none if it settles a delivery.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Whether it need not be sent, since nobody waits. With an ordering key, what was sent is sent again in its place: if it is
    /// published again, it was there before those that follow it. What settled a delivery is not: that came again.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_abandoned() && (!self.resent || self.settles() || self.lane().is_none())
    }

    /// Whether it settles a delivery.
    pub(super) fn settles(&self) -> bool {
        self.room.is_none()
    }

    /// Whose order it keeps: that of the jobs with its key and where it goes. Two may share a number by chance.
    pub(super) fn lane(&self) -> Option<u64> {
        let key = self.message.headers.key(header::ORDERING_KEY)?;
        let mut hasher = DefaultHasher::new();
        (self.target.name(), key).hash(&mut hasher);
        Some(hasher.finish())
    }

    /// Whether it keeps the order of one of these.
    pub(super) fn is_of(&self, lanes: &HashSet<u64>) -> bool {
        !lanes.is_empty() && self.lane().is_some_and(|lane| lanes.contains(&lane))
    }

    pub(super) fn mark_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }

    /// The exchange and routing key to publish with.
    pub(super) fn route(&self) -> (&str, &str) {
        match &self.target {
            Target::Exchange { name, .. } => (name, self.message.routing_key()),
            Target::Queue(name) => ("", name),
            Target::Later { enters, .. } => (enters, &self.message.event_type),
        }
    }

    /// Whether the broker could return it like this.
    pub(super) fn is(&self, returned: &Content) -> bool {
        let (exchange, key) = self.route();
        // An id that is too long for the property travels without.
        let id = if self.message.id.len() > 255 { "" } else { &*self.message.id };
        returned.exchange() == exchange
            && returned.routing_key() == key
            && returned.properties().message_id.unwrap_or_default() == id
    }

    pub(super) fn answer(self, result: Result<(), PublishError>) {
        // Whoever asked may have stopped waiting.
        drop(self.reply.send(result));
    }

    pub(super) fn unroutable(&self) -> PublishError {
        let (exchange, event_type) = (self.target.name().to_owned(), self.message.event_type.clone());
        PublishError::Unroutable { exchange, event_type }
    }

    pub(super) fn overtaking(&self) -> PublishError {
        if self.sent.load(Ordering::Acquire) {
            return self.unknown();
        }
        self.nacked("an earlier event of its ordering key was refused".to_owned())
    }

    /// Whether jobs take all the room that there is, or somebody waits for more.
    pub(super) fn takes_the_last_room(&self) -> bool {
        self.room.as_ref().is_some_and(|room| room.semaphore().available_permits() == 0)
    }

    /// It is not sent, but was, and may have been taken.
    pub(super) fn back(mut self, may_be_there: bool) -> Self {
        (self.resent, self.returned) = (true, false);
        self.may_be_there |= may_be_there;
        self
    }

    /// What it means that it was refused now: over a channel that is gone it may have been taken.
    pub(super) fn refused(&self, error: PublishError) -> PublishError {
        if self.may_be_there { self.unknown() } else { error }
    }

    fn unknown(&self) -> PublishError {
        PublishError::Unknown { id: self.message.id.clone() }
    }

    pub(super) fn nacked(&self, reason: String) -> PublishError {
        PublishError::Nacked { id: self.message.id.clone(), reason }
    }
}
