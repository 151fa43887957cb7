//! Publishing: callers hand jobs to actors, each of which owns a confirm channel.

mod actor;
mod desk;
mod job;
mod line;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sap_comm_core::Name;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use self::{actor::Actor, desk::Desk, job::Job};
use super::{
    link::Watcher,
    vitals::{Obstacle, Vitals},
};
use crate::{
    BrokerConfig, OverflowPolicy, PublishError,
    backend::{Answer, Handed},
    message::{Message, header},
    topology::Target,
};

/// The callers' side of the publisher.
pub(super) struct Publisher {
    channels: Vec<Channel>,
    /// Whose turn it is to publish an event without an ordering key.
    turn: AtomicUsize,
    hasher: RandomState,
    /// What bounds the queue: each job that exists has a permit, and one more for every `unit` bytes of its body.
    room: Arc<Semaphore>,
    capacity: u32,
    unit: usize,
    overflow: OverflowPolicy,
    offline: OverflowPolicy,
    refusing: AtomicBool,
    vitals: Arc<Vitals>,
}

/// An actor, and what it is to publish.
struct Channel {
    desk: Arc<Desk>,
    actor: AbortOnDropHandle<()>,
}

impl Channel {
    fn start(config: &BrokerConfig, link: Watcher, vitals: Arc<Vitals>) -> Self {
        let desk = Arc::new(Desk::default());
        let actor = Actor::new(Arc::clone(&desk), config.window, link, vitals);
        Self { desk, actor: AbortOnDropHandle::new(tokio::spawn(actor.run())) }
    }
}

impl Publisher {
    pub(super) fn start(config: &BrokerConfig, link: &Watcher, vitals: Arc<Vitals>) -> Self {
        let channel = |_| Channel::start(config, link.clone(), Arc::clone(&vitals));
        Self {
            channels: (0..config.channels).map(channel).collect(),
            turn: AtomicUsize::new(0),
            hasher: RandomState::new(),
            room: Arc::new(Semaphore::new(config.queue_capacity)),
            // The configuration keeps it within 32 bits.
            capacity: u32::try_from(config.queue_capacity).unwrap_or(u32::MAX),
            unit: (config.queue_bytes / config.queue_capacity).max(1),
            overflow: config.overflow,
            offline: config.offline,
            refusing: AtomicBool::new(false),
            vitals,
        }
    }

    /// The channel for a message: with an ordering key always the same one, so that it keeps its place.
    fn channel(&self, message: &Message) -> Option<&Channel> {
        let count = self.channels.len();
        let number = match message.headers.key(header::ORDERING_KEY) {
            _ if count == 1 => 0,
            Some(key) => (self.hasher.hash_one(key) % count as u64) as usize,
            None => self.turn.fetch_add(1, Ordering::Relaxed) % count,
        };
        self.channels.get(number)
    }

    /// Hands a message over if there is room for it: its answer is on its way.
    pub(super) fn publish_now(&self, target: &Target, message: Arc<Message>) -> Handed {
        if let Err(error) = self.accepts() {
            return Handed::Done(Err(error));
        }
        match Arc::clone(&self.room).try_acquire_many_owned(self.permits(&message)) {
            Ok(permit) => match self.submit(target.clone(), Arc::unwrap_or_clone(message), Some(permit)) {
                Ok(answer) => Handed::Pending(answer),
                Err(error) => Handed::Done(Err(error)),
            },
            Err(TryAcquireError::Closed) => Handed::Done(Err(PublishError::Closed)),
            Err(TryAcquireError::NoPermits) if self.overflow == OverflowPolicy::Refuse => {
                self.channels.iter().for_each(|channel| channel.desk.press());
                Handed::Done(Err(self.full()))
            }
            Err(TryAcquireError::NoPermits) => Handed::Back(message),
        }
    }

    /// Publishes by the policies and waits for the broker's answer until `deadline`.
    pub(super) async fn publish_by_policy(
        &self,
        target: Target,
        message: Message,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        let id = message.id.clone();
        match self.publish_now(&target, Arc::new(message)) {
            Handed::Done(outcome) => outcome,
            Handed::Pending(answer) => self.answered(answer, id, deadline).await,
            Handed::Back(message) => self.publish(target, Arc::unwrap_or_clone(message), deadline).await,
        }
    }

    /// Publishes and waits for the broker's answer until `deadline`, whatever is in the way.
    pub(super) async fn publish(
        &self,
        target: Target,
        message: Message,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        if self.refusing.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        let permit = self.room(self.permits(&message), deadline).await?;
        let id = message.id.clone();
        let answer = self.submit(target, message, Some(permit))?;
        self.answered(answer, id, deadline).await
    }

    async fn answered(&self, answer: Answer, id: Name, deadline: Instant) -> Result<(), PublishError> {
        answer.until(deadline).await.unwrap_or_else(|sent| Err(self.late(id, sent)))
    }

    /// How much of the queue a message takes; one that is larger than all of it is alone.
    fn permits(&self, message: &Message) -> u32 {
        let bytes = u32::try_from(message.body().len() / self.unit).unwrap_or(u32::MAX);
        bytes.saturating_add(1).min(self.capacity)
    }

    fn full(&self) -> PublishError {
        PublishError::QueueFull { capacity: self.capacity as usize }
    }

    fn accepts(&self) -> Result<(), PublishError> {
        if self.refusing.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        if self.offline == OverflowPolicy::Refuse {
            match self.vitals.obstacle() {
                None => {}
                Some(Obstacle::Away(reason)) => return Err(PublishError::Unavailable { reason }),
                Some(Obstacle::Blocked(reason)) => return Err(PublishError::Blocked { reason }),
            }
        }
        Ok(())
    }

    /// Settles a delivery; waits for the broker's answer.
    pub(super) async fn settle(&self, queue: String, message: Message) -> Result<(), PublishError> {
        let answer = self.submit(Target::Queue(queue), message, None)?;
        // There is no answer once the broker is closed.
        answer.answer.await.unwrap_or(Err(PublishError::Closed))
    }

    fn submit(
        &self,
        target: Target,
        message: Message,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, PublishError> {
        let channel = self.channel(&message).ok_or(PublishError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let job = Job {
            target,
            message,
            reply,
            sent: Arc::clone(&sent),
            resent: false,
            may_be_there: false,
            returned: false,
            follows_refused: false,
            looks: 0,
            counts: true,
            room,
        };
        if channel.desk.submit(job) { Ok(Answer { answer, sent }) } else { Err(PublishError::Closed) }
    }

    /// Room for one job. Where there is some, it is taken in the order that publishes were first polled in.
    async fn room(&self, permits: u32, deadline: Instant) -> Result<OwnedSemaphorePermit, PublishError> {
        match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(PublishError::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        match timeout_at(deadline, Arc::clone(&self.room).acquire_many_owned(permits)).await {
            Ok(permit) => permit.map_err(|_| PublishError::Closed),
            Err(_) => Err(self.vitals.obstacle().map_or(self.full(), |obstacle| unsent(obstacle, None))),
        }
    }

    /// What it means that no answer came in time, or ever.
    pub(super) fn late(&self, id: Name, sent: bool) -> PublishError {
        if self.room.is_closed() {
            return if sent { PublishError::Unknown { id } } else { PublishError::Closed };
        }
        match (self.vitals.obstacle(), sent) {
            (Some(obstacle @ Obstacle::Blocked(_)), _) => unsent(obstacle, None),
            (_, true) => PublishError::Unknown { id },
            (Some(obstacle), false) => unsent(obstacle, None),
            (None, false) => unsent(Obstacle::Away("it does not answer".to_owned()), self.vitals.last_error()),
        }
    }

    /// How many publishes wait for an answer.
    pub(super) fn pending(&self) -> usize {
        self.channels.iter().map(|channel| channel.desk.pending()).sum()
    }

    pub(super) fn refuse(&self) {
        self.refusing.store(true, Ordering::Release);
        self.channels.iter().for_each(|channel| channel.desk.end());
    }

    /// Waits until every job is done.
    pub(super) async fn flush(&self) {
        // Closed means that nothing is left to wait for.
        drop(self.room.acquire_many(self.capacity).await);
    }

    /// Ends the actors; whoever still waits learns that the outcome is unknown.
    pub(super) fn end(&self) {
        self.room.close();
        for Channel { desk, actor } in &self.channels {
            actor.abort();
            desk.close();
        }
    }
}

fn unsent(obstacle: Obstacle, detail: Option<String>) -> PublishError {
    match obstacle {
        Obstacle::Blocked(reason) => PublishError::Blocked { reason },
        Obstacle::Away(reason) => PublishError::Unavailable {
            reason: detail.map_or(reason.clone(), |detail| format!("{reason}; last error: {detail}")),
        },
    }
}
