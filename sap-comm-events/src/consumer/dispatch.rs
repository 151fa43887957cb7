//! Several handlers at once: events of one key one after the other, events of one type in batches.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Ended, Handling, gathering::Gathering, lanes::Lanes, process::Again, work::Work};
use crate::{
    RetryOrder,
    backend::{Delivery, Source},
};

type Key = Arc<str>;

/// What one task handles.
enum Unit {
    One(Option<Key>, Work),
    Batch(Vec<Work>),
}

impl Unit {
    fn is_for_itself(&self, suspicious: u32) -> bool {
        match self {
            Self::One(_, work) => work.is_for_itself(suspicious),
            Self::Batch(works) => works.iter().any(|work| work.is_for_itself(suspicious)),
        }
    }
}

/// How often it is looked whether an event that waits in hand has gone back, where no other comes that would tell.
const LOOK: Duration = Duration::from_millis(250);

/// What is known of a task.
struct Running {
    key: Option<Key>,
    deliveries: usize,
}

/// The handlers of one subscription that run, and what waits for them.
pub(super) struct Dispatch<'a> {
    handling: &'a Arc<Handling>,
    /// Whether an event that is tried again keeps its key.
    holds: bool,
    /// Whether it stays in hand even without one.
    holds_all: bool,
    /// Whether any type is handled in batches.
    has_batches: bool,
    tasks: JoinSet<Option<Again>>,
    running: HashMap<Id, Running>,
    /// What may be handled as soon as a handler is free.
    ready: VecDeque<Unit>,
    /// Events whose key is busy.
    lanes: Lanes<Work>,
    /// Batches that fill.
    gathering: Gathering,
    /// Events that hold their key until they are tried again; a number tells those of one instant apart.
    held: BTreeMap<(Instant, u64), (Option<Key>, Work)>,
    last_number: u64,
    /// Deliveries that are not settled.
    in_hand: usize,
    /// Whether what runs is to run alone.
    alone: bool,
}

/// The next delivery, if there is room for it; otherwise what is consumed is kept, since a queue may not outlive a lost connection for
/// as long as a handler takes.
async fn next(source: &mut dyn Source, has_room: bool) -> Option<Delivery> {
    if has_room {
        return source.next().await;
    }
    match source.keep().await {}
}

impl<'a> Dispatch<'a> {
    /// Begins with what is `kept`.
    pub(super) fn new(handling: &'a Arc<Handling>, kept: Vec<Delivery>) -> Self {
        let holds = handling.settings.ordering.as_ref().is_some_and(|(_, retry)| *retry == RetryOrder::HoldKey);
        let mut dispatch = Self {
            handling,
            holds,
            holds_all: handling.settings.topology.stream.is_some(),
            has_batches: handling.router.has_batches(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            ready: VecDeque::new(),
            lanes: Lanes::default(),
            gathering: Gathering::default(),
            held: BTreeMap::new(),
            last_number: 0,
            in_hand: 0,
            alone: false,
        };
        kept.into_iter().for_each(|delivery| dispatch.take(delivery.into()));
        dispatch
    }

    /// Takes deliveries and handles them until `halt`.
    pub(super) async fn run(&mut self, source: &mut dyn Source, halt: &CancellationToken) -> Ended {
        loop {
            self.start_ready();
            let due = self.due();
            let alarm = async move {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let (has_room, keeps) = (self.has_room(), self.handling.settings.ephemeral);
            tokio::select! {
                biased;
                () = halt.cancelled() => return Ended::Halted,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = alarm => self.ring(),
                delivery = next(source, has_room), if has_room || keeps => match delivery {
                    Some(delivery) => self.take(delivery.into()),
                    None => return Ended::Closed,
                },
            }
        }
    }

    /// Waits for the handlers that run; returns what they had not begun.
    pub(super) async fn finish(mut self) -> Vec<Delivery> {
        let mut left = Vec::new();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Ok((_, Some(again))) = ended {
                left.push(again.work.delivery);
            }
        }
        let ready = self.ready.into_iter().flat_map(|unit| match unit {
            Unit::One(_, work) => vec![work],
            Unit::Batch(works) => works,
        });
        let held = std::mem::take(&mut self.held).into_values().map(|(_, work)| work);
        let waiting = held.chain(ready).chain(self.gathering.drain()).chain(self.lanes.drain());
        left.extend(waiting.map(|work| work.delivery));
        left
    }

    fn has_room(&self) -> bool {
        let settings = &self.handling.settings;
        self.ready.is_empty()
            && self.tasks.len() < settings.concurrency
            && self.in_hand < usize::from(settings.limits.prefetch)
    }

    fn take(&mut self, mut work: Work) {
        self.let_go(false);
        self.in_hand += 1;
        let Handling { router, settings, .. } = &**self.handling;
        if self.has_batches
            && let Ok(event) = work.event(self.handling)
            && let Some(batching) = router.batching(&event.event_type)
        {
            let event_type = event.event_type.clone();
            // One bad event must not take the others of its batch with it again and again.
            if work.is_suspect() {
                self.ready.push_back(Unit::Batch(vec![work]));
                return;
            }
            let full = self.gathering.add(event_type, batching, work);
            self.ready.extend(full.map(Unit::Batch));
            return;
        }
        let key = settings.ordering.as_ref().and_then(|(ordering, _)| {
            let message = Arc::clone(&work.delivery.message);
            ordering.of(&message, || work.event(self.handling).as_ref().ok())
        });
        let ready = match &key {
            Some(key) => {
                // What went back with its channel would fill the room of other keys. It is in front of what came later.
                self.in_hand -= self.lanes.let_go(key, Work::is_void);
                self.lanes.enter(key, work)
            }
            None => Some(work),
        };
        self.ready.extend(ready.map(|work| Unit::One(key, work)));
    }

    fn start_ready(&mut self) {
        let suspicious = self.handling.settings.limits.suspicious();
        while self.tasks.len() < self.handling.settings.concurrency
            && !self.alone
            && let Some(unit) = self.ready.pop_front()
        {
            let Some(unit) = self.still_ours(unit) else { continue };
            if unit.is_for_itself(suspicious) {
                if !self.tasks.is_empty() {
                    self.ready.push_front(unit);
                    break;
                }
                self.alone = true;
            }
            let handling = Arc::clone(self.handling);
            let (task, running) = match unit {
                Unit::One(key, work) => {
                    let held = self.is_held(key.as_ref());
                    let task = self.tasks.spawn(async move {
                        if held {
                            return handling.process_held(work).await;
                        }
                        handling.process(work).await;
                        None
                    });
                    (task, Running { key, deliveries: 1 })
                }
                Unit::Batch(works) => {
                    let deliveries = works.len();
                    let task = self.tasks.spawn(async move {
                        handling.process_batch(works).await;
                        None
                    });
                    (task, Running { key: None, deliveries })
                }
            };
            self.running.insert(task.id(), running);
        }
    }

    /// Whether an event is tried again in hand.
    fn is_held(&self, key: Option<&Key>) -> bool {
        self.holds_all || (self.holds && key.is_some())
    }

    /// What went back with its channel is not begun: another consumer may have it, or it comes again.
    fn still_ours(&mut self, unit: Unit) -> Option<Unit> {
        match unit {
            Unit::One(key, work) if work.is_void() => {
                // Tried again in hand, it was in a handler.
                if work.message().attempt() > 1 && self.is_held(key.as_ref()) {
                    self.gone(key, work);
                } else {
                    self.leave(key, 1);
                }
                None
            }
            Unit::Batch(mut works) => {
                let count = works.len();
                works.retain(|work| !work.is_void());
                self.in_hand -= count - works.len();
                (!works.is_empty()).then_some(Unit::Batch(works))
            }
            one => Some(one),
        }
    }

    /// Lets go of what waits in hand and went back with its channel: looks at `all` of it, or only where the first went.
    fn let_go(&mut self, all: bool) {
        self.in_hand -= self.gathering.let_go(all);
        if all || self.held.first_key_value().is_some_and(|(_, (_, work))| work.is_void()) {
            let gone: Vec<_> = self.held.extract_if(.., |_, (_, work)| work.is_void()).collect();
            for (_, (key, work)) in gone {
                self.gone(key, work);
            }
        }
    }

    /// An event was handled, and went back before it could be tried again.
    fn gone(&mut self, key: Option<Key>, work: Work) {
        self.handling.outlived(work.delivery);
        self.leave(key, 1);
    }

    /// Deliveries are not in hand any more; the next of their key is.
    fn leave(&mut self, key: Option<Key>, deliveries: usize) {
        self.in_hand -= deliveries;
        if let Some(key) = key
            && let Some(next) = self.lanes.leave(&key)
        {
            self.ready.push_back(Unit::One(Some(key), next));
        }
    }

    fn ended(&mut self, ended: Result<(Id, Option<Again>), JoinError>) {
        let (id, again) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A handler's panic is caught closer to it; this one would be our own.
                tracing::error!(%error, "a consumer task failed; its event goes back to the queue");
                (error.id(), None)
            }
        };
        let Some(Running { key, deliveries }) = self.running.remove(&id) else { return };
        self.alone = false;
        match again {
            None => self.leave(key, deliveries),
            Some(Again { work, .. }) if work.is_void() => self.gone(key, work),
            Some(Again { work, after }) => {
                self.last_number += 1;
                self.held.insert((Instant::now() + after, self.last_number), (key, work));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let held = self.held.first_key_value().map(|((due, _), _)| *due);
        let due = held.into_iter().chain(self.gathering.due()).min()?;
        Some(if self.has_room() { due } else { due.min(Instant::now() + LOOK) })
    }

    /// Something is due.
    fn ring(&mut self) {
        self.let_go(true);
        let now = Instant::now();
        while let Some(first) = self.held.first_entry()
            && first.key().0 <= now
        {
            let (key, work) = first.remove();
            self.ready.push_back(Unit::One(key, work));
        }
        while let Some(works) = self.gathering.take_due(now) {
            self.ready.push_back(Unit::Batch(works));
        }
    }
}
