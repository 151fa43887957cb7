//! What is to be published later.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Shared, state::Refusal};
use crate::{backend::FAR, message::Message, topology::Target};

/// Messages by the time that they are due; a number tells those of one instant apart.
#[derive(Default)]
pub(super) struct Schedule {
    entries: Mutex<Entries>,
    /// Rings when one is added.
    added: Notify,
    /// Rings when one is gone.
    pub(super) gone: Notify,
}

#[derive(Default)]
struct Entries {
    waiting: BTreeMap<(Instant, u64), Entry>,
    last_number: u64,
}

type Entry = (Target, Arc<Message>);

/// How soon a message is tried again that a full queue does not take.
const AGAIN: Duration = Duration::from_millis(10);

impl Schedule {
    /// Adds a message, if fewer than `capacity` wait.
    pub(super) fn add(&self, capacity: usize, due: Instant, target: &Target, message: &Arc<Message>) -> bool {
        let mut entries = self.entries.lock();
        let has_room = entries.waiting.len() < capacity;
        if has_room {
            entries.insert(due, (target.clone(), Arc::clone(message)));
            self.added.notify_one();
        }
        has_room
    }

    fn take_due(&self) -> Result<Entry, Option<Instant>> {
        let mut entries = self.entries.lock();
        let first = entries.waiting.first_entry().ok_or(None)?;
        let due = first.key().0;
        if due > Instant::now() { Err(Some(due)) } else { Ok(first.remove()) }
    }
}

impl Entries {
    fn insert(&mut self, due: Instant, entry: Entry) {
        self.last_number += 1;
        self.waiting.insert((due, self.last_number), entry);
    }
}

/// Publishes what is due, for as long as the broker lives.
pub(super) async fn run(schedule: Arc<Schedule>, shared: Weak<Shared>) {
    loop {
        let (target, message) = match schedule.take_due() {
            Ok(entry) => entry,
            Err(next) => {
                tokio::select! {
                    () = schedule.added.notified() => {}
                    () = sleep_until(next.unwrap_or_else(|| Instant::now() + FAR)) => {}
                }
                continue;
            }
        };
        let Some(shared) = shared.upgrade() else { return };
        let published = shared.state.lock().publish(&target, message);
        match published {
            Ok(()) => schedule.gone.notify_waiters(),
            Err(Refusal::Full(message)) => schedule.entries.lock().insert(Instant::now() + AGAIN, (target, message)),
            Err(Refusal::Unroutable(message)) => {
                tracing::warn!(
                    event_id = message.id.as_str(),
                    event_type = message.event_type.as_str(),
                    exchange = target.name(),
                    "no queue wants a delayed event"
                );
                schedule.gone.notify_waiters();
            }
        }
    }
}
