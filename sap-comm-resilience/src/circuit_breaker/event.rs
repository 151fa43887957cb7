use std::collections::VecDeque;

use futures_util::Stream;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{State, TripReason};
use crate::{Name, contain::contained};

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A rule opened it.
    Tripped(TripReason),
    /// The reset timeout is over.
    ResetTimeout,
    /// A probe failed.
    ProbeFailed,
    /// Enough probes succeeded.
    Recovered,
    /// Somebody isolated or closed it by hand.
    Manual,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// The breaker.
    pub name: Name,
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// Rises with every transition: tells the order of two events.
    pub generation: u64,
}

/// A stream of a breaker's transitions in their order, from the moment it was taken.
///
/// A reader that falls behind by more than 64 transitions misses the oldest.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Transition>,
}

impl Events {
    /// The next transition; `None` once the breaker is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<Transition> {
        loop {
            match self.receiver.recv().await {
                Ok(transition) => return Some(transition),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "breaker transitions were missed"),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next transition that has already happened.
    pub fn try_recv(&mut self) -> Option<Transition> {
        loop {
            match self.receiver.try_recv() {
                Ok(transition) => return Some(transition),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    }

    /// The transitions as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Transition> + Send {
        futures_util::stream::unfold(self, |mut events| async { events.recv().await.map(|event| (event, events)) })
    }
}

const CAPACITY: usize = 64;

pub(super) type Listener = Box<dyn Fn(&Transition) + Send + Sync>;

/// Tells everybody who listens.
pub(crate) struct Announcer {
    sender: broadcast::Sender<Transition>,
    outbox: Mutex<Outbox>,
    listeners: Vec<Listener>,
}

/// Transitions on their way to the streams, in order. Sending wakes readers, and so runs their code: one thread does it
/// at a time, with no lock held.
#[derive(Default)]
struct Outbox {
    waiting: VecDeque<Transition>,
    missed: u64,
    sending: bool,
}

impl Announcer {
    pub(crate) fn new(listeners: Vec<Listener>) -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), outbox: Mutex::default(), listeners }
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events { receiver: self.sender.subscribe() }
    }

    /// Queues a transition for the streams. Called with the engine's lock held, so that they stay in order.
    pub(crate) fn record(&self, transition: &Transition) {
        let mut outbox = self.outbox.lock();
        if outbox.waiting.len() == CAPACITY {
            outbox.waiting.pop_front();
            outbox.missed += 1;
        }
        outbox.waiting.push_back(transition.clone());
    }

    /// Sends what is queued, unless another thread, or a caller further up, is at it and sends this too.
    fn send(&self) {
        let mut outbox = self.outbox.lock();
        if std::mem::replace(&mut outbox.sending, true) {
            return;
        }
        while let Some(transition) = outbox.waiting.pop_front() {
            let missed = std::mem::take(&mut outbox.missed);
            drop(outbox);
            if missed > 0 {
                tracing::warn!(missed, "breaker transitions were missed");
            }
            // Nobody listens: nothing is lost.
            contained("a reader of transitions, when it was woken,", || self.sender.send(transition).is_ok());
            outbox = self.outbox.lock();
        }
        outbox.sending = false;
    }

    /// Sends a transition to the streams, logs it and calls the listeners. Never called with a lock held.
    pub(crate) fn announce(&self, transition: &Transition) {
        self.send();
        let Transition { name, from, to, cause, .. } = transition;
        tracing::info!(breaker = %name, ?from, ?to, ?cause, "circuit breaker changed state");
        for listener in &self.listeners {
            contained("a listener of transitions", || listener(transition));
        }
    }
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").field("listeners", &self.listeners.len()).finish_non_exhaustive()
    }
}
