//! Exchanges, queues and what is in them; every operation is short and under one lock.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::{sync::Notify, time::Instant};

use super::{lent::Lent, load::Load, pattern::matches};
use crate::{
    TopologyError,
    message::Message,
    topology::{Binding, ExchangeKind, Queue, Role, TAIL_LENGTH, Target, Topology, TopologyDifference, TopologySpec},
};

pub(super) struct State {
    /// The most that one queue holds before publishes wait: those in hand, its retries and its dead letters included.
    capacity: usize,
    bindings: BTreeMap<String, Vec<Binding>>,
    queues: BTreeMap<String, Store>,
    last_number: u64,
    /// What is in hand, where it may be taken back.
    pub(super) lent: Option<Lent>,
}

/// One queue.
struct Store {
    role: Role,
    ready: VecDeque<Stored>,
    load: Load,
    /// So many more fit for sure, whatever was removed since somebody looked.
    room: usize,
    /// The delay's end, or one bell for each source.
    bells: Vec<Arc<Notify>>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Grows with every message; keeps the order when one comes back.
    pub(super) number: u64,
    pub(super) message: Arc<Message>,
    /// When a delayed message is due.
    pub(super) due: Option<Instant>,
    /// Tells one delivery of a message from the next, where it may be taken back.
    pub(super) loan: Option<u64>,
}

impl Stored {
    /// Whether nobody takes the message back while it is in hand.
    pub(super) fn is_ours(&self) -> bool {
        self.loan.is_none()
    }
}

/// Why a message was not taken; it comes back, to be dropped where nobody waits.
pub(super) enum Refusal {
    /// Nothing is bound for it there.
    Unroutable(Arc<Message>),
    /// A queue holds its capacity.
    Full(Arc<Message>),
}

impl State {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, bindings: BTreeMap::new(), queues: BTreeMap::new(), last_number: 0, lent: None }
    }

    /// Makes a queue; `false` if it exists alike.
    pub(super) fn declare(&mut self, queue: &Queue) -> Result<bool, TopologyError> {
        if let Some(store) = self.queues.get(&queue.name) {
            if store.role == queue.role {
                return Ok(false);
            }
            let detail = format!("it is {:?}, and {:?} is declared", store.role, queue.role);
            return Err(TopologyError::new(format!("queue {:?}", queue.name), detail));
        }
        let bells = match queue.role {
            Role::Delay { .. } => vec![Arc::default()],
            Role::Work { .. } | Role::Ephemeral | Role::Tail | Role::Dead { .. } => Vec::new(),
        };
        let load = match &queue.role {
            Role::Delay { to: served, .. } | Role::Dead { of: served } => {
                self.queues.get(served).map(|store| store.load.clone()).unwrap_or_default()
            }
            Role::Work { .. } | Role::Ephemeral | Role::Tail => Load::default(),
        };
        let store = Store { role: queue.role.clone(), ready: VecDeque::new(), load, room: 0, bells };
        self.queues.insert(queue.name.clone(), store);
        Ok(true)
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        let bindings = self.bindings.entry(binding.exchange.clone()).or_default();
        if !bindings.contains(binding) {
            bindings.push(binding.clone());
        }
    }

    /// Puts the message into every queue that wants it, or into none.
    pub(super) fn publish(&mut self, target: &Target, message: Arc<Message>) -> Result<(), Refusal> {
        let Self { capacity, bindings, queues, last_number, .. } = self;
        let mut stored = |message| {
            *last_number += 1;
            Stored { number: *last_number, message, due: None, loan: None }
        };
        let (name, kind) = match target {
            // What is to come later waits in the schedule.
            Target::Later { .. } => return Err(Refusal::Unroutable(message)),
            // A settlement or a redrive, for a message that counts already.
            Target::Queue(name) => match queues.get_mut(name) {
                Some(store) => {
                    store.push(stored(message));
                    return Ok(());
                }
                None => return Err(Refusal::Unroutable(message)),
            },
            Target::Exchange { name, kind } => (name, kind),
        };
        let key = message.event_type.as_str();
        let wants = |binding: &&Binding| match kind {
            ExchangeKind::Topic => matches(&binding.key, key),
            ExchangeKind::Direct => binding.key == key,
        };
        let bound = bindings.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        let mut wanted = bound.iter().filter(wants).map(|binding| binding.queue.as_str());
        let Some(first) = wanted.next() else { return Err(Refusal::Unroutable(message)) };
        // A queue bound twice gets the message once.
        let mut others: Vec<&str> = wanted.filter(|other| *other != first).collect();
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            let Some(store) = queues.get_mut(first) else { return Ok(()) };
            if store.is_full(*capacity) {
                return Err(Refusal::Full(message));
            }
            // Without a clone: to drop that one costs more than it looks where a consumer has the message already.
            store.admit(stored(message));
            return Ok(());
        }
        others.insert(0, first);
        if others.iter().any(|queue| queues.get_mut(*queue).is_some_and(|store| store.is_full(*capacity))) {
            return Err(Refusal::Full(message));
        }
        for queue in others {
            if let Some(store) = queues.get_mut(queue) {
                store.admit(stored(Arc::clone(&message)));
            }
        }
        Ok(())
    }

    /// Takes the first message of a queue into hand.
    pub(super) fn take(&mut self, queue: &str) -> Option<Stored> {
        self.queues.get_mut(queue)?.ready.pop_front()
    }

    /// Takes the first messages of a queue, `limit` at most, as the share of the source with that bell; `false` if there are
    /// none for it. Where there is a single active source, it is the first that came.
    pub(super) fn take_share(
        &mut self,
        queue: &str,
        bell: &Arc<Notify>,
        limit: usize,
        into: &mut VecDeque<Stored>,
    ) -> bool {
        let Some(store) = self.queues.get_mut(queue) else { return false };
        let single = store.role == Role::Work { single_active: true };
        if single && !store.bells.first().is_some_and(|first| Arc::ptr_eq(first, bell)) {
            return false;
        }
        let sources = if single { 1 } else { store.bells.len().max(1) };
        let share = store.ready.len().div_ceil(sources).min(limit);
        let taken = store.ready.drain(..share);
        match &mut self.lent {
            None => into.extend(taken),
            Some(lent) => into.extend(taken.map(|stored| lent.lend(queue, stored))),
        }
        share > 0
    }

    /// What counts against the queue's capacity.
    pub(super) fn load(&self, queue: &str) -> Load {
        self.queues.get(queue).map(|store| store.load.clone()).unwrap_or_default()
    }

    /// A message in hand goes back to where it was.
    pub(super) fn give_back(&mut self, queue: &str, mut stored: Stored) {
        if !self.release(&stored) {
            return;
        }
        stored.loan = None;
        if let Some(store) = self.queues.get_mut(queue) {
            let at = store.ready.partition_point(|other| other.number < stored.number);
            store.ready.insert(at, stored);
            store.ring();
        }
    }

    /// Moves the messages of a delay queue that are due to the end of `to`; says when the next one is.
    pub(super) fn end_delays(&mut self, queue: &str, to: &str) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let store = self.queues.get_mut(queue)?;
            if let Some(due) = store.ready.front()?.due
                && due > now
            {
                return Some(due);
            }
            let mut stored = store.ready.pop_front()?;
            store.load.remove();
            self.last_number += 1;
            (stored.number, stored.due) = (self.last_number, None);
            if let Some(target) = self.queues.get_mut(to) {
                target.push(stored);
            }
        }
    }

    /// What is missing of `spec` or other than it says. Exchanges are there as soon as anybody names them, and what
    /// replicates a queue has no meaning here.
    pub(super) fn differences(&self, spec: &TopologySpec) -> Vec<TopologyDifference> {
        let topology = Topology {
            queues: (self.queues.iter())
                .map(|(name, store)| Queue { name: name.clone(), role: store.role.clone() })
                .collect(),
            bindings: self.bindings.values().flatten().cloned().collect(),
            ..Topology::default()
        };
        let wanted = TopologySpec { exchanges: Vec::new(), ..spec.clone() };
        let [wanted, found] = [wanted, TopologySpec::of(&topology)].map(|mut spec| {
            for queue in &mut spec.queues {
                for replication in ["x-queue-type", "x-delivery-limit", "x-dead-letter-strategy", "x-overflow"] {
                    queue.arguments.remove(replication);
                }
            }
            spec
        });
        wanted.differences(&found)
    }

    pub(super) fn has(&self, queue: &str) -> bool {
        self.queues.contains_key(queue)
    }

    pub(super) fn depth(&self, queue: &str) -> Option<u64> {
        self.queues.get(queue).map(|store| store.ready.len() as u64)
    }

    /// The bell that rings when a message enters the delay queue.
    pub(super) fn bell(&self, queue: &str) -> Arc<Notify> {
        self.queues.get(queue).and_then(|store| store.bells.first()).map(Arc::clone).unwrap_or_default()
    }

    /// Rings `bell` whenever a message enters the queue.
    pub(super) fn listen(&mut self, queue: &str, bell: &Arc<Notify>) {
        if let Some(store) = self.queues.get_mut(queue) {
            store.bells.push(Arc::clone(bell));
            bell.notify_one();
        }
    }

    /// Undoes [`State::listen`]; the other sources look again, in case this one was about to.
    pub(super) fn leave(&mut self, queue: &str, bell: &Arc<Notify>) {
        if let Some(store) = self.queues.get_mut(queue) {
            store.bells.retain(|own| !Arc::ptr_eq(own, bell));
            store.ring();
            if matches!(store.role, Role::Ephemeral | Role::Tail) && store.bells.is_empty() {
                self.queues.remove(queue);
                self.bindings.values_mut().for_each(|bindings| bindings.retain(|binding| binding.queue != queue));
            }
        }
    }

    /// What is under way, queue by queue; empty if nothing is. What waits for no consumer is not.
    #[cfg(feature = "test-util")]
    pub(super) fn busy(&self) -> String {
        use std::fmt::Write;

        let mut text = String::new();
        for (name, store) in self.queues.iter().filter(|(_, store)| !store.role.serves_another()) {
            let of = |wanted: fn(&Role) -> Option<&String>| -> usize {
                let theirs = self.queues.values().filter(|other| wanted(&other.role) == Some(name));
                theirs.map(|other| other.ready.len()).sum()
            };
            let delayed = of(|role| if let Role::Delay { to, .. } = role { Some(to) } else { None });
            let dead = of(|role| if let Role::Dead { of } = role { Some(of) } else { None });
            let ready = store.ready.len();
            let in_hand = store.load.get().saturating_sub(ready + delayed + dead);
            let waiting = if store.bells.is_empty() { 0 } else { ready };
            if waiting + delayed + in_hand > 0 {
                let _ = write!(text, "{name}: {waiting} waiting, {in_hand} in hand, {delayed} to be retried; ");
            }
        }
        text
    }

    pub(super) fn ring_all(&self) {
        self.queues.values().for_each(Store::ring);
    }
}

impl Store {
    /// Whether no further message is to be admitted.
    fn is_full(&mut self, capacity: usize) -> bool {
        if self.room == 0 {
            self.room = capacity.saturating_sub(self.load.get());
        }
        self.room == 0 && self.role != Role::Tail
    }

    /// Takes a message that counts from now on.
    fn admit(&mut self, stored: Stored) {
        self.room = self.room.saturating_sub(1);
        self.push(stored);
    }

    fn push(&mut self, mut stored: Stored) {
        if let Role::Delay { delay, .. } = &self.role {
            stored.due = Some(Instant::now() + *delay);
        }
        if self.role == Role::Tail && self.ready.len() >= TAIL_LENGTH.into() {
            self.ready.pop_front();
            self.load.remove();
        }
        self.load.add();
        self.ready.push_back(stored);
        // Nobody waits at a queue that is not empty.
        if self.ready.len() == 1 {
            self.ring();
        }
    }

    fn ring(&self) {
        self.bells.iter().for_each(|bell| bell.notify_one());
    }
}
