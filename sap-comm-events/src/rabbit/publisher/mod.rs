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
    /// One permit for each job that exists: what bounds the queue.
    room: Arc<Semaphore>,
    capacity: usize,
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
            capacity: config.queue_capacity,
            overflow: config.overflow,
            offline: config.offline,
            refusing: AtomicBool::new(false),
            vitals,
        }
    }

    /// The channel for a message: with an ordering key always the same one, so that it keeps its place.
    fn channel(&self, message: &Message) -> Option<&Channel> {
        let count = self.channels.len();
        let number = match message.headers.text(header::ORDERING_KEY) {
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
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => match self.submit(target.clone(), Arc::unwrap_or_clone(message), permit) {
                Ok(answer) => Handed::Pending(answer),
                Err(error) => Handed::Done(Err(error)),
            },
            Err(TryAcquireError::Closed) => Handed::Done(Err(PublishError::Closed)),
            Err(TryAcquireError::NoPermits) => Handed::Back(message),
        }
    }

    /// Publishes and waits for the broker's answer until `deadline`.
    pub(super) async fn publish(
        &self,
        target: Target,
        message: Message,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        self.accepts()?;
        let permit = self.room(deadline).await?;
        let id = message.id.clone();
        let answer = self.submit(target, message, permit)?;
        answer.until(deadline).await.unwrap_or_else(|sent| Err(self.late(id, sent)))
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

    fn submit(&self, target: Target, message: Message, permit: OwnedSemaphorePermit) -> Result<Answer, PublishError> {
        let channel = self.channel(&message).ok_or(PublishError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let job = Job {
            target,
            message,
            reply,
            sent: Arc::clone(&sent),
            resent: false,
            returned: false,
            follows_refused: false,
            _room: permit,
        };
        if channel.desk.submit(job) { Ok(Answer { answer, sent }) } else { Err(PublishError::Closed) }
    }

    /// Room for one job. Where there is some, it is taken in the order that publishes were first polled in.
    async fn room(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, PublishError> {
        match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(PublishError::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        let full = PublishError::QueueFull { capacity: self.capacity };
        if self.overflow == OverflowPolicy::Refuse {
            return Err(full);
        }
        match timeout_at(deadline, Arc::clone(&self.room).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| PublishError::Closed),
            Err(_) => Err(self.vitals.obstacle().map_or(full, |obstacle| unsent(obstacle, None))),
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
        self.capacity.saturating_sub(self.room.available_permits())
    }

    pub(super) fn refuse(&self) {
        self.refusing.store(true, Ordering::Release);
    }

    /// Waits until every job is done.
    pub(super) async fn flush(&self) {
        let all = u32::try_from(self.capacity).unwrap_or(u32::MAX);
        // Closed means that nothing is left to wait for.
        drop(self.room.acquire_many(all).await);
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
