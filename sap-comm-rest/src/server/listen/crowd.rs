//! Who makes room when there is none, and who ends when the server stops.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::activity::Activity;

/// The connections of a server.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    members: Mutex<Members>,
    joined: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    activities: HashMap<u64, Arc<Activity>>,
    /// Whether those who come later are to drain, too.
    drain: bool,
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
}

/// Who has just come, or was answered just now, is about to ask.
const YOUNG: Duration = Duration::from_secs(1);
/// How many leave at once, at most: looking for them takes longer than the end of one.
const LEAVE: usize = 16;

impl Crowd {
    pub(super) fn join(self: &Arc<Self>, activity: &Arc<Activity>) -> Place {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let mut members = self.members.lock();
        members.activities.insert(number, Arc::clone(activity));
        if members.drain {
            activity.drain();
        }
        drop(members);
        Place { crowd: Arc::clone(self), number }
    }

    /// Has every connection [drain](Activity::drain). Told by one place, none of them listens for the end of the server itself.
    pub(super) fn drain(&self) {
        let all: Vec<_> = {
            let mut members = self.members.lock();
            members.drain = true;
            members.activities.values().cloned().collect()
        };
        for activity in all {
            activity.drain();
        }
    }

    /// Ends the connections that have rested longest, which are not too young.
    pub(super) fn make_room(&self) {
        let now = Instant::now();
        let is_old = |since: &Instant| now.saturating_duration_since(*since) >= YOUNG;
        let mut resting: Vec<_> = {
            let members = self.members.lock();
            members
                .activities
                .values()
                .filter_map(|activity| Some((activity.rests_since().filter(is_old)?, Arc::clone(activity))))
                .collect()
        };
        let leave = (resting.len() / 8).clamp(1, LEAVE);
        if resting.len() > leave {
            resting.select_nth_unstable_by_key(leave, |(since, _)| *since);
            resting.truncate(leave);
        }
        tracing::debug!(count = resting.len(), "connections that rest make room for others");
        for (_, activity) in resting {
            activity.leave();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members.lock().activities.remove(&self.number);
    }
}
