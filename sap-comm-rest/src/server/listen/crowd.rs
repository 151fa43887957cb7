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
/// Of so many one leaves at once, so that not everybody who comes has to wait for the end of another.
const SHARE: usize = 64;
/// How many leave at once, at most.
const LEAVE: usize = 16;

impl Crowd {
    pub(super) fn join(self: &Arc<Self>, activity: &Arc<Activity>) -> Place {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let since = activity.rests_since().unwrap_or_else(Instant::now);
        let mut members = self.members.lock();
        members.activities.insert(number, (since, Arc::clone(activity)));
        members.order.insert((since, number));
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
            members.activities.values().map(|(_, activity)| Arc::clone(activity)).collect()
        };
        for activity in all {
            activity.drain();
        }
    }

    /// Ends the connections that have rested longest, which are not too young.
    pub(super) fn make_room(&self) {
        let now = Instant::now();
        let leaving: Vec<_> = {
            let mut members = self.members.lock();
            let enough = (members.activities.len() / SHARE).clamp(1, LEAVE);
            std::iter::from_fn(|| members.rests_longest(now)).take(enough).collect()
        };
        tracing::debug!(count = leaving.len(), "connections that rest make room for others");
        for activity in leaving {
            activity.leave();
        }
    }
}

impl Members {
    /// The connection that has rested longest, unless it is too young; it is to leave, and is not found again.
    fn rests_longest(&mut self, now: Instant) -> Option<Arc<Activity>> {
        while let Some((time, number)) = self.order.pop_first() {
            let (its, activity) = self.activities.get_mut(&number)?;
            if now.saturating_duration_since(time) < YOUNG {
                self.order.insert((time, number));
                return None;
            }
            let since = activity.rests_since();
            let found = (since == Some(time)).then(|| Arc::clone(activity));
            // Who does not rest now can at the earliest from now on.
            *its = since.filter(|_| found.is_none()).unwrap_or(now);
            self.order.insert((*its, number));
            if found.is_some() {
                return found;
            }
        }
        None
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

    #[tokio::test(start_paused = true)]
    async fn who_rested_longest_leaves_first_whoever_came_first() {
        let crowd = Arc::new(Crowd::default());
        let mut all = Vec::new();
        for _ in 0..4 {
            let activity = Arc::new(Activity::new(&ServerConfig::default()));
            all.push((crowd.join(&activity), activity));
            tokio::time::advance(YOUNG).await;
        }
        let has_left: fn(&[(Place, Arc<Activity>)]) -> Vec<bool> =
            |all| all.iter().map(|(_, activity)| activity.leaves()).collect();
        let busy = all[1].1.begin(false);
        drop(all[0].1.begin(false));
        // As whoever drives the connection does.
        all[0].1.deadline();
        crowd.make_room();
        assert_eq!(has_left(&all), [false, false, true, false], "one rests since now, and one is asked");
        crowd.make_room();
        assert_eq!(has_left(&all), [false, false, true, true]);
        crowd.make_room();
        assert_eq!(has_left(&all), [false, false, true, true], "the one that rests is too young");
        drop(busy);
        all[1].1.deadline();
        tokio::time::advance(YOUNG).await;
        crowd.make_room();
        crowd.make_room();
        assert_eq!(has_left(&all), [true; 4]);
        drop(all);
        let members = crowd.members.lock();
        assert!(members.activities.is_empty() && members.order.is_empty(), "{members:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_many_leaves_at_once() {
        for (count, leave) in [(1, 1), (SHARE * 3, 3), (SHARE * LEAVE * 2, LEAVE)] {
            let crowd = Arc::new(Crowd::default());
            let all: Vec<_> = (0..count)
                .map(|_| {
                    let activity = Arc::new(Activity::new(&ServerConfig::default()));
                    (crowd.join(&activity), activity)
                })
                .collect();
            tokio::time::advance(YOUNG).await;
            crowd.make_room();
            assert_eq!(all.iter().filter(|(_, activity)| activity.leaves()).count(), leave);
        }
    }
}
