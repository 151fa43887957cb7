//! Who makes room when there is none, and who ends when the server stops.

use std::{
    collections::{BTreeSet, HashMap},
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
    /// Each with its time in `order`.
    activities: HashMap<u64, (Instant, Arc<Activity>)>,
    /// None of them rests since before its time. Nobody is told when one begins to rest: it gets its new time when it is looked at.
    order: BTreeSet<(Instant, u64)>,
    /// Since when all are to drain, those who come later too.
    drains_since: Option<Instant>,
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
}

/// Who has just come, or was answered just now, is about to ask.
const YOUNG: Duration = Duration::from_secs(1);
/// Of so many one leaves at once, so that not everybody who comes has to wait for the end of another.
const SHARE: usize = 64;
/// How many leave at once, at most.
const LEAVE: usize = 16;
/// How many are looked at, at most, while nobody else can join: the next look goes on from there.
const LOOKS: usize = 1_024;

impl Crowd {
    pub(super) fn join(self: &Arc<Self>, activity: &Arc<Activity>) -> Place {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let since = activity.rests_since().unwrap_or_else(Instant::now);
        let mut members = self.members.lock();
        members.activities.insert(number, (since, Arc::clone(activity)));
        members.order.insert((since, number));
        if let Some(since) = members.drains_since {
            activity.drain(since);
        }
        drop(members);
        Place { crowd: Arc::clone(self), number }
    }

    /// Has every connection [drain](Activity::drain); says since when. Told by one place, none of them listens for the end of the server
    /// itself.
    pub(super) fn drain(&self) -> Instant {
        let (since, all): (_, Vec<_>) = {
            let mut members = self.members.lock();
            let since = *members.drains_since.get_or_insert_with(Instant::now);
            (since, members.activities.values().map(|(_, activity)| Arc::clone(activity)).collect())
        };
        for activity in all {
            activity.drain(since);
        }
        since
    }

    /// Ends the connections that have rested longest, which are not too young. Where many that were looked at long ago are busy now, it
    /// may take another call to find one.
    pub(super) fn make_room(&self) {
        let now = Instant::now();
        let leaving = self.members.lock().leaving(now);
        tracing::debug!(count = leaving.len(), "connections that rest make room for others");
        for activity in leaving {
            activity.wake();
        }
    }
}

impl Members {
    /// Those that have rested longest, and leave from now on.
    fn leaving(&mut self, now: Instant) -> Vec<Arc<Activity>> {
        let enough = (self.activities.len() / SHARE).clamp(1, LEAVE);
        let mut leaving = Vec::new();
        for _ in 0..LOOKS {
            let first = self.order.first().copied();
            let Some((time, number)) = first.filter(|(time, _)| now.saturating_duration_since(*time) >= YOUNG) else {
                break;
            };
            self.order.pop_first();
            let Some((its, activity)) = self.activities.get_mut(&number) else { continue };
            let left = activity.leave_if_since(time);
            // Who does not rest now can at the earliest from now on.
            *its = left.err().flatten().unwrap_or(now);
            self.order.insert((*its, number));
            if left.is_ok() {
                leaving.push(Arc::clone(activity));
            }
            if leaving.len() == enough {
                break;
            }
        }
        leaving
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.crowd.members.lock();
        if let Some((time, _)) = members.activities.remove(&self.number) {
            members.order.remove(&(time, self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ServerConfig, *};

    type Member = (Place, Arc<Activity>);

    fn member(crowd: &Arc<Crowd>) -> Member {
        let activity = Arc::new(Activity::new(&ServerConfig::default()));
        (crowd.join(&activity), activity)
    }

    /// What a request that begins and ends now comes to, once whoever drives the connection has looked at its limit.
    fn asks((_, activity): &Member) {
        drop(activity.begin(false));
        activity.deadline();
    }

    fn who_leaves(all: &[Member]) -> Vec<bool> {
        all.iter().map(|(_, activity)| activity.leaves()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_rested_longest_leaves_first_whoever_came_first() {
        let crowd = Arc::new(Crowd::default());
        let all: Vec<_> = (0..4).map(|_| member(&crowd)).collect();
        let busy = all[3].1.begin(false);
        for number in [1, 0, 2] {
            tokio::time::advance(YOUNG * 2).await;
            asks(&all[number]);
        }
        crowd.make_room();
        assert_eq!(who_leaves(&all), [false, true, false, false]);
        crowd.make_room();
        assert_eq!(who_leaves(&all), [true, true, false, false]);
        crowd.make_room();
        assert_eq!(who_leaves(&all), [true, true, false, false], "one is too young, and one is asked");
        drop(busy);
        all[3].1.deadline();
        tokio::time::advance(YOUNG).await;
        for _ in 0..3 {
            crowd.make_room();
        }
        assert_eq!(who_leaves(&all), [true; 4]);
        drop(all);
        let members = crowd.members.lock();
        assert!(members.activities.is_empty() && members.order.is_empty(), "{members:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_rests_is_found_among_many_that_do_not() {
        let crowd = Arc::new(Crowd::default());
        let all: Vec<_> = (0..=LOOKS).map(|_| member(&crowd)).collect();
        let _busy: Vec<_> = all[..LOOKS].iter().map(|(_, activity)| activity.begin(false)).collect();
        tokio::time::advance(YOUNG).await;
        crowd.make_room();
        crowd.make_room();
        assert!(all[LOOKS].1.leaves());
        assert_eq!(who_leaves(&all).into_iter().filter(|leaves| *leaves).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_many_leaves_at_once() {
        for (count, leave) in [(1, 1), (SHARE * 3, 3), (SHARE * LEAVE * 2, LEAVE)] {
            let crowd = Arc::new(Crowd::default());
            let all: Vec<_> = (0..count).map(|_| member(&crowd)).collect();
            tokio::time::advance(YOUNG).await;
            crowd.make_room();
            assert_eq!(who_leaves(&all).into_iter().filter(|leaves| *leaves).count(), leave);
        }
    }
}
