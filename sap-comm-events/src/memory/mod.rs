//! A broker within the process: the same groups, order, retries and dead letters, bounded, without a wire.

mod delay;
#[cfg(feature = "test-util")]
mod faults;
mod gate;
mod hand;
mod lent;
mod load;
mod pattern;
mod schedule;
mod settlement;
mod source;
mod state;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
#[cfg(feature = "test-util")]
use futures_util::future::join_all;
use parking_lot::Mutex;
use sap_comm_core::{Name, Timestamp};
use tokio::{task::JoinSet, time::Instant};

pub(crate) use self::pattern::matches;

use self::{
    gate::Gate,
    hand::MemoryHand,
    schedule::Schedule,
    source::MemorySource,
    state::{Refusal, State},
};
use crate::{
    BrokerConfig, BrokerHealth, BrokerState, DeadLetterError, OverflowPolicy, PublishError, SubscribeError,
    backend::{Backend, Hand, Handed, Limits, Source},
    message::Message,
    topology::{ExchangeKind, Role, Target, Topology, TopologyDifference, TopologySpec},
};

/// So many messages of a batch are taken under one lock.
const SLICE: usize = 256;

/// Exchanges and queues in memory.
pub(crate) struct MemoryBackend {
    shared: Arc<Shared>,
    overflow: OverflowPolicy,
    since: Timestamp,
    pending: AtomicUsize,
    /// The tasks that end delays; they end with the broker.
    delays: Mutex<JoinSet<()>>,
    /// What is to be published later; its task starts with the first of it.
    schedule: Arc<Schedule>,
    scheduling: AtomicBool,
    capacity: usize,
}

/// What consumers, settlements and delays share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rings when a queue has room again, or less is under way.
    room: Arc<Gate>,
    /// Rings when nothing is pending.
    idle: Gate,
    closed: AtomicBool,
    /// Decides what fails on purpose.
    #[cfg(feature = "test-util")]
    dice: Option<crate::test_util::Dice>,
}

/// What became of a message that was to be taken.
enum Taken {
    Yes,
    /// It is to wait for room.
    Waits(Arc<Message>),
    Refused(PublishError, Arc<Message>),
}

impl MemoryBackend {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(config.queue_capacity)),
                room: Arc::default(),
                idle: Gate::default(),
                closed: AtomicBool::new(false),
                #[cfg(feature = "test-util")]
                dice: None,
            }),
            overflow: config.overflow,
            since: Timestamp::now(),
            pending: AtomicUsize::new(0),
            delays: Mutex::new(JoinSet::new()),
            schedule: Arc::default(),
            scheduling: AtomicBool::new(false),
            capacity: config.queue_capacity,
        }
    }

    fn declare_all(&self, state: &mut State, topology: &Topology) -> Result<(), SubscribeError> {
        for queue in &topology.queues {
            if state.declare(queue)?
                && let Role::Delay { to, .. } = &queue.role
            {
                let (shared, bell) = (Arc::downgrade(&self.shared), state.bell(&queue.name));
                self.delays.lock().spawn(delay::end(shared, bell, queue.name.clone(), to.clone()));
            }
        }
        for binding in &topology.bindings {
            state.bind(binding);
        }
        Ok(())
    }

    /// Takes the message at once, or says why not.
    fn take(&self, target: &Target, message: Arc<Message>) -> Taken {
        self.take_into(&mut self.shared.state.lock(), target, message)
    }

    fn take_into(&self, state: &mut State, target: &Target, message: Arc<Message>) -> Taken {
        if self.shared.closed.load(Ordering::Acquire) {
            return Taken::Refused(PublishError::Closed, message);
        }
        match state.publish(target, message) {
            Ok(()) => Taken::Yes,
            Err(Refusal::Unroutable(message)) => {
                let (exchange, event_type) = (target.name().to_owned(), message.event_type.clone());
                Taken::Refused(PublishError::Unroutable { exchange, event_type }, message)
            }
            Err(Refusal::Full(message)) if self.overflow == OverflowPolicy::Refuse => {
                Taken::Refused(self.full(), message)
            }
            Err(Refusal::Full(message)) => Taken::Waits(message),
        }
    }

    /// Takes messages in their order, until one has to wait for room, and leaves the others. Others get a turn between slices
    /// of them.
    fn take_all(
        &self,
        target: &Target,
        messages: &mut VecDeque<Arc<Message>>,
        mut taken: impl FnMut(Result<(), PublishError>),
    ) {
        while !messages.is_empty() {
            // Dropped once nobody waits for that.
            let mut refused = Vec::new();
            let mut state = self.shared.state.lock();
            for _ in 0..SLICE {
                let Some(message) = messages.pop_front() else { break };
                match self.take_into(&mut state, target, message) {
                    Taken::Yes => taken(Ok(())),
                    Taken::Waits(message) => return messages.push_front(message),
                    Taken::Refused(error, message) => {
                        refused.push(message);
                        taken(Err(error));
                    }
                }
            }
        }
    }

    async fn deliver(&self, target: &Target, message: Arc<Message>, deadline: Instant) -> Result<(), PublishError> {
        let mut waiting = Some(message);
        let taken = self.shared.room.until(|| match self.take(target, waiting.take()?) {
            Taken::Yes => Some(Ok(())),
            Taken::Waits(message) => {
                waiting = Some(message);
                None
            }
            Taken::Refused(error, _) => Some(Err(error)),
        });
        tokio::time::timeout_at(deadline, taken).await.unwrap_or_else(|_| Err(self.full()))
    }

    fn full(&self) -> PublishError {
        PublishError::QueueFull { capacity: self.capacity }
    }
}

/// Counts publishes for as long as it lives.
struct Pending<'a>(&'a MemoryBackend, usize);

impl<'a> Pending<'a> {
    fn of(backend: &'a MemoryBackend, publishes: usize) -> Self {
        backend.pending.fetch_add(publishes, Ordering::SeqCst);
        Self(backend, publishes)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.0.pending.fetch_sub(self.1, Ordering::SeqCst) == self.1 {
            self.0.shared.idle.ring();
            self.0.shared.room.ring();
        }
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn stays_inside(&self) -> bool {
        true
    }

    fn publish_now(&self, target: &Target, message: Arc<Message>) -> Handed {
        #[cfg(feature = "test-util")]
        if self.shared.dice.is_some() {
            return Handed::Back(message);
        }
        match self.take(target, message) {
            Taken::Yes => Handed::Done(Ok(())),
            Taken::Waits(message) => Handed::Back(message),
            Taken::Refused(error, _) => Handed::Done(Err(error)),
        }
    }

    async fn publish(&self, target: Target, message: Message, deadline: Instant) -> Result<(), PublishError> {
        let _pending = Pending::of(self, 1);
        #[cfg(feature = "test-util")]
        if let Some(dice) = &self.shared.dice {
            return self.deliver_or_fail(dice, &target, &Arc::new(message), deadline).await;
        }
        self.deliver(&target, Arc::new(message), deadline).await
    }

    fn publish_all_now(&self, target: &Target, messages: Vec<Arc<Message>>) -> Vec<Handed> {
        #[cfg(feature = "test-util")]
        if self.shared.dice.is_some() {
            return messages.into_iter().map(Handed::Back).collect();
        }
        let mut handed = Vec::with_capacity(messages.len());
        let mut waiting = VecDeque::from(messages);
        self.take_all(target, &mut waiting, |taken| handed.push(Handed::Done(taken)));
        handed.extend(waiting.into_iter().map(Handed::Back));
        handed
    }

    async fn publish_all(
        &self,
        target: Target,
        messages: Vec<Arc<Message>>,
        deadline: Instant,
    ) -> Vec<Result<(), PublishError>> {
        let _pending = Pending::of(self, messages.len());
        #[cfg(feature = "test-util")]
        if let Some(dice) = &self.shared.dice {
            let publish = |message| self.deliver_or_fail(dice, &target, message, deadline);
            return join_all(messages.iter().map(publish)).await;
        }
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut waiting = VecDeque::from(messages);
        let all = self.shared.room.until(|| {
            self.take_all(&target, &mut waiting, |taken| outcomes.push(taken));
            waiting.is_empty().then_some(())
        });
        // What is not taken by then found the queue full.
        let _ = tokio::time::timeout_at(deadline, all).await;
        outcomes.extend(waiting.into_iter().map(|_| Err(self.full())));
        outcomes
    }

    async fn publish_later(
        &self,
        name: Name,
        kind: ExchangeKind,
        message: Message,
        delay: Duration,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        if !self.scheduling.swap(true, Ordering::AcqRel) {
            self.delays.lock().spawn(schedule::run(Arc::clone(&self.schedule), Arc::downgrade(&self.shared)));
        }
        let (target, message, capacity) = (Target::Exchange { name, kind }, Arc::new(message), self.capacity);
        loop {
            let mut gone = std::pin::pin!(self.schedule.gone.notified());
            gone.as_mut().enable();
            if self.schedule.add(capacity, Instant::now() + delay, &target, &message) {
                return Ok(());
            }
            if self.overflow == OverflowPolicy::Refuse || tokio::time::timeout_at(deadline, gone).await.is_err() {
                return Err(PublishError::QueueFull { capacity });
            }
        }
    }

    async fn consume(&self, topology: Topology, limits: Limits) -> Result<Box<dyn Source>, SubscribeError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(SubscribeError::Closed);
        }
        if topology.stream.is_some() {
            let (needs, version) = ("3.9.0".to_owned(), "in memory".to_owned());
            return Err(SubscribeError::Unsupported { feature: "streams", needs, version });
        }
        let mut state = self.shared.state.lock();
        self.declare_all(&mut state, &topology)?;
        let source = MemorySource::new(Arc::clone(&self.shared), &mut state, &topology.consumed, limits.prefetch);
        Ok(Box::new(source))
    }

    async fn declare(&self, topology: &Topology) -> Result<(), SubscribeError> {
        self.declare_all(&mut self.shared.state.lock(), topology)
    }

    async fn examine(&self, spec: &TopologySpec) -> Result<Vec<TopologyDifference>, SubscribeError> {
        Ok(self.shared.state.lock().differences(spec))
    }

    async fn hand(&self, queue: &str) -> Result<Box<dyn Hand>, DeadLetterError> {
        Ok(Box::new(MemoryHand::new(&self.shared, queue)))
    }

    async fn depth(&self, queue: &str) -> Result<u64, DeadLetterError> {
        let depth = self.shared.state.lock().depth(queue);
        depth.ok_or_else(|| DeadLetterError::NoQueue { queue: queue.to_owned() })
    }

    fn health(&self) -> BrokerHealth {
        let closed = self.shared.closed.load(Ordering::Acquire);
        let state = if closed { BrokerState::Closed } else { BrokerState::Connected };
        BrokerHealth { state, since: self.since, pending: self.pending.load(Ordering::Acquire), last_error: None }
    }

    fn refuse(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.room.ring();
    }

    async fn flush(&self) {
        self.shared.idle.until(|| (self.pending.load(Ordering::SeqCst) == 0).then_some(())).await;
    }

    async fn disconnect(&self) {
        let mut delays = std::mem::take(&mut *self.delays.lock());
        delays.shutdown().await;
        self.shared.state.lock().ring_all();
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("health", &self.health()).finish_non_exhaustive()
    }
}
