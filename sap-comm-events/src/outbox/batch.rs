//! Publishing what a relay has claimed.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, future, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{RelayConfig, Unroutable, entry::Entry, store::Store};
use crate::{Broker, PublishError, sql::SqlError};

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
    /// Publishes and settles; publishing ends early when `cut` does.
    pub(super) async fn publish(&self, entries: Vec<Entry>, cut: impl Future<Output = ()>) -> Tally {
        let leased_until = Mutex::new(Instant::now() + self.config.lease);
        let (done, mut fates) = mpsc::channel(entries.len().max(1));
        let lanes: FuturesUnordered<_> =
            lanes(entries).into_iter().map(|lane| self.publish_lane(lane, &leased_until, done.clone())).collect();
        drop(done);
        let publishing = async {
            tokio::select! {
                () = lanes.collect() => {}
                () = cut => {}
                () = self.keep_lease(&leased_until) => {}
            }
        };
        let settling = async {
            let (mut tally, mut chunk) = (Tally::default(), Vec::new());
            while fates.recv_many(&mut chunk, CHUNK).await > 0 {
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

    /// Publishes events one after the other, up to the first that fails: those behind it must not overtake it.
    async fn publish_lane(&self, lane: Vec<Entry>, leased_until: &Mutex<Instant>, done: mpsc::Sender<(i64, Fate)>) {
        for entry in lane {
            if Instant::now() >= *leased_until.lock() {
                return;
            }
            let fate = self.publish_one(&entry).await;
            let failed = matches!(fate, Fate::Failed { .. });
            // The receiver outlives every lane.
            if done.send((entry.number, fate)).await.is_err() || failed {
                return;
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
        let published = context.scope(self.broker.publish_raw(&entry.exchange, event, kind)).await;
        let Err(error) = published else { return Fate::Sent };
        let discard = matches!(error, PublishError::Unroutable { .. }) && self.config.unroutable == Unroutable::Discard;
        tracing::warn!(
            trace_id, request_id, correlation_id, event_id, exchange = entry.exchange, %error, discard,
            "an event of the outbox was not published",
        );
        if discard {
            return Fate::Discarded;
        }
        // When the broker is away, every event waits for it, and none is to blame.
        let broker_away = error.is_transient() || matches!(error, PublishError::Closed);
        let pause = if broker_away { Duration::ZERO } else { pause };
        Fate::Failed { error: error.to_string(), pause, broker_away }
    }

    /// Ends when the lease could not be renewed in time.
    async fn keep_lease(&self, leased_until: &Mutex<Instant>) {
        let lease = self.config.lease;
        while Instant::now() < *leased_until.lock() {
            sleep(lease / 3).await;
            let asked_at = Instant::now();
            match self.store.renew(&self.owner, lease).await {
                Ok(()) => *leased_until.lock() = asked_at + lease,
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
                    if let Err(error) = self.store.postpone(&self.owner, number, &error, pause).await {
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
}
