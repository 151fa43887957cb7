//! Publishing what a relay has claimed.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::{
    StreamExt, future,
    stream::{self, FuturesUnordered},
};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use super::{RelayConfig, Unroutable, entry::Entry, store::Store};
use crate::{Broker, PublishError, PublishOptions, sql::SqlError};

/// What one relay works with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) broker: Broker,
    pub(super) config: RelayConfig,
    /// Names the relay in the table.
    pub(super) owner: String,
    /// Events that the broker has and the table does not know of; no more are claimed before it does.
    pub(super) unmarked: Mutex<Vec<i64>>,
}

/// The claim on a batch, while it is published.
#[derive(Debug)]
struct Lease {
    /// When it ends, unless it is renewed.
    until: Mutex<Instant>,
    /// How many events are claimed at least: lowered before the table learns that one is done with.
    held: AtomicU64,
}

/// How a batch went.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) sent: usize,
    /// The broker takes nothing now; another batch would fare alike.
    pub(super) broker_away: bool,
}

/// What became of one event.
enum Fate {
    Sent,
    /// It was given up.
    Discarded,
    /// It will be tried again after `pause`.
    Failed {
        error: String,
        pause: Duration,
        broker_away: bool,
    },
}

/// How many results are written at once.
const CHUNK: usize = 64;

impl Desk {
    /// Publishes and settles what was claimed by a question asked at `asked_at`; publishing ends early when `cut` does.
    pub(super) async fn publish(&self, entries: Vec<Entry>, asked_at: Instant, cut: impl Future<Output = ()>) -> Tally {
        let (until, held) = (asked_at + self.config.lease, entries.len() as u64);
        let lease = Lease { until: Mutex::new(until), held: AtomicU64::new(held) };
        let (done, mut fates) = mpsc::channel(entries.len().max(1));
        let lanes: FuturesUnordered<_> =
            lanes(entries).into_iter().map(|lane| self.publish_lane(lane, &lease, done.clone())).collect();
        drop(done);
        let publishing = async {
            tokio::select! {
                () = lanes.collect() => {}
                () = cut => {}
                () = self.keep(&lease) => {}
            }
        };
        let settling = async {
            let (mut tally, mut chunk) = (Tally::default(), Vec::new());
            while fates.recv_many(&mut chunk, CHUNK).await > 0 {
                lease.held.fetch_sub(chunk.len() as u64, Ordering::AcqRel);
                self.settle(chunk.drain(..), &mut tally).await;
            }
            tally
        };
        let ((), tally) = future::join(publishing, settling).await;
        if let Err(error) = self.finish().await {
            tracing::warn!(%error, "claimed events stay claimed until their lease ends");
        }
        tally
    }

    /// Publishes events in their order, so many ahead of their confirms, up to the first that fails: those behind it must not
    /// overtake it, and those sent already are sent again after it.
    ///
    /// One that failed before goes alone at first: a broker that refuses all for a time would refuse it, and take those behind it
    /// once that time is over.
    async fn publish_lane(&self, mut lane: Vec<Entry>, lease: &Lease, done: mpsc::Sender<(i64, Fate)>) {
        let failed = lane.iter().rposition(|entry| entry.attempts > 0).map_or(0, |last| last + 1);
        let rest = lane.split_off(failed);
        for (entries, window) in [(lane, 1), (rest, self.config.key_window)] {
            let in_time = stream::iter(entries).take_while(|_| future::ready(Instant::now() < *lease.until.lock()));
            let started = in_time.map(|entry| async move { (entry.number, self.publish_one(&entry).await) });
            let mut published = std::pin::pin!(started.buffered(window));
            while let Some((number, fate)) = published.next().await {
                let failed = matches!(fate, Fate::Failed { .. });
                // The receiver outlives every lane.
                if done.send((number, fate)).await.is_err() || failed {
                    return;
                }
            }
        }
    }

    async fn publish_one(&self, entry: &Entry) -> Fate {
        let pause = self.config.pause(u32::try_from(entry.attempts).unwrap_or(u32::MAX).saturating_add(1));
        let (event, kind) = match entry.event() {
            Ok(parts) => parts,
            Err(error) => {
                tracing::error!(number = entry.number, error, "an event of the outbox cannot be read");
                return Fate::Failed { error, pause, broker_away: false };
            }
        };
        let context = entry.context();
        let (trace_id, request_id) = (context.trace().trace_id(), context.request_id().to_owned());
        let (event_id, correlation_id) = (event.id.clone(), event.correlation_id.clone());
        let options = entry.key.iter().fold(PublishOptions::new(), |options, key| options.ordering_key(key));
        let published = context.scope(self.broker.publish_raw_with(&entry.exchange, event, kind, options)).await;
        let Err(error) = published else { return Fate::Sent };
        let discard = matches!(error, PublishError::Unroutable { .. }) && self.config.unroutable == Unroutable::Discard;
        tracing::warn!(
            trace_id, request_id, %correlation_id, %event_id, exchange = entry.exchange, %error, discard,
            "an event of the outbox was not published",
        );
        if discard {
            return Fate::Discarded;
        }
        // When the broker is away, every event waits for it, and none is to blame. One that is refused, or not answered, may be alone
        // in that: others are not to wait behind it.
        let broker_away = matches!(
            error,
            PublishError::Unavailable { .. }
                | PublishError::Blocked { .. }
                | PublishError::QueueFull { .. }
                | PublishError::Closed
        );
        let pause = if broker_away { Duration::ZERO } else { pause };
        Fate::Failed { error: error.to_string(), pause, broker_away }
    }

    /// Ends when the lease could not be renewed in time, or not for every event: another relay has the rest.
    async fn keep(&self, lease: &Lease) {
        let length = self.config.lease;
        loop {
            let until = *lease.until.lock();
            if Instant::now() >= until {
                return;
            }
            sleep(length / 3).await;
            let asked_at = Instant::now();
            let Ok(renewed) = timeout_at(until, self.store.renew(&self.owner, length)).await else {
                tracing::warn!("the claim was not renewed in time; the batch ends");
                return;
            };
            match renewed {
                Ok(renewed) if renewed < lease.held.load(Ordering::Acquire) => {
                    tracing::warn!(renewed, "some claimed events are no longer ours; the batch ends");
                    return;
                }
                Ok(_) => *lease.until.lock() = asked_at + length,
                Err(error) => tracing::warn!(%error, "the claim was not renewed"),
            }
        }
    }

    async fn settle(&self, fates: impl Iterator<Item = (i64, Fate)>, tally: &mut Tally) {
        let mut sent = Vec::new();
        for (number, fate) in fates {
            match fate {
                Fate::Sent | Fate::Discarded => sent.push(number),
                Fate::Failed { error, pause, broker_away } => {
                    tally.broker_away |= broker_away;
                    if let Err(error) = self.store.postpone(&self.owner, number, &error, pause, !broker_away).await {
                        tracing::warn!(%error, number, "the failure of an event was not noted");
                    }
                }
            }
        }
        tally.sent += sent.len();
        self.unmarked.lock().extend(sent);
        if let Err(error) = self.mark().await {
            tracing::warn!(%error, "sent events are not marked as sent yet");
        }
    }

    /// Marks what was sent.
    async fn mark(&self) -> Result<(), SqlError> {
        let numbers = self.unmarked.lock().clone();
        if numbers.is_empty() {
            return Ok(());
        }
        self.store.sent(&numbers, !self.config.retention.is_zero()).await?;
        self.unmarked.lock().retain(|number| !numbers.contains(number));
        Ok(())
    }

    /// Marks what was sent, and only then frees what was not.
    pub(super) async fn finish(&self) -> Result<(), SqlError> {
        self.mark().await?;
        self.store.release(&self.owner).await
    }
}

/// Events that must follow each other share a lane; lanes begin in the order of their first events.
fn lanes(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut lanes: Vec<Vec<Entry>> = Vec::new();
    let mut by_key = HashMap::new();
    for entry in entries {
        let lane = match &entry.key {
            None => lanes.len(),
            Some(key) => *by_key.entry(key.clone()).or_insert(lanes.len()),
        };
        if lane == lanes.len() {
            lanes.push(Vec::new());
        }
        lanes[lane].push(entry);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_a_key_share_a_lane_in_order() {
        let entry = |number, key: Option<&str>| Entry {
            number,
            exchange: String::new(),
            kind: String::new(),
            key: key.map(str::to_owned),
            event: String::new(),
            context: String::new(),
            attempts: 0,
        };
        let lanes =
            lanes(vec![entry(1, None), entry(2, Some("a")), entry(3, None), entry(4, Some("b")), entry(5, Some("a"))]);
        let numbers: Vec<Vec<_>> = lanes.iter().map(|lane| lane.iter().map(|entry| entry.number).collect()).collect();
        assert_eq!(numbers, [vec![1], vec![2, 5], vec![3], vec![4]]);
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_batch_ends_when_another_relay_has_some_of_it() {
        use sap_comm_core::{Event, EventPayload};
        use sqlx::sqlite::SqlitePoolOptions;

        use crate::{
            BrokerConfig, EventRouter,
            outbox::{Outbox, store::Claim},
        };

        #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
        #[event(type = "note.taken")]
        struct NoteTaken {}

        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
        let pool = SqlitePoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        let outbox = Outbox::new(pool.clone());
        outbox.migrate().await.unwrap();
        for _ in 0..3 {
            let mut connection = pool.acquire().await.unwrap();
            let event = Event::new("note-service", NoteTaken {});
            outbox.write(&mut *connection, "note.events", &event).await.unwrap();
        }
        // One event fits into the queue, which nobody consumes, and two wait.
        let broker = Broker::memory(BrokerConfig::new("note-service").queue_capacity(1)).unwrap();
        let router = EventRouter::new().on(|_: Event<NoteTaken>| async { Ok(()) });
        broker.subscribe("note.events", router).await.unwrap().stop().await;
        let config = RelayConfig::new().lease(Duration::from_millis(300));
        let store = outbox.store.clone();
        let desk = Desk { store, broker, config, owner: "a".to_owned(), unmarked: Mutex::default() };
        let Claim::Got(entries) = desk.store.claim("a", desk.config.lease, desk.config.most()).await.unwrap() else {
            panic!("another relay claims");
        };
        assert_eq!(entries.len(), 3);
        let steal = "UPDATE sap_outbox SET lease_owner = 'b', lease_until = lease_until * 2 WHERE number = 3";
        sqlx::query(steal).execute(&pool).await.unwrap();
        let ended =
            tokio::time::timeout(Duration::from_secs(10), desk.publish(entries, Instant::now(), future::pending()))
                .await;
        assert_eq!(ended.expect("the batch ends").sent, 1);
        let owned = "SELECT COUNT(*) FROM sap_outbox WHERE lease_owner IS NOT NULL";
        let owned: i64 = sqlx::query_scalar(owned).fetch_one(&pool).await.unwrap();
        assert_eq!(owned, 1, "what is left of the batch is free, and the other relay keeps its own");
    }
}
