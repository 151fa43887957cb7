//! Publishes the events of one key in order.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use sap_comm::{
    Context, Event,
    events::{Broker, PublishError},
};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    desk::Counts,
    ledger::{Fate, Ledger},
};
use crate::chaos::{Step, exchange};

/// A publish that takes this much longer than its deadline hangs; less is a busy machine.
const GRACE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// How a key is published.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) key: String,
    pub(super) partition: u32,
    /// How many publishes are under way at once. One alone is tried until it is confirmed; of several, one that fails is
    /// given up, since those behind it may be through already.
    pub(super) depth: usize,
    pub(super) deadline: Duration,
    pub(super) pace: Duration,
    /// Every so many events one fails at first.
    pub(super) fails_every: Option<u64>,
    pub(super) broker: Broker,
    pub(super) ledger: Arc<Ledger>,
    pub(super) counts: Arc<Counts>,
}

impl Lane {
    /// Publishes what an earlier process left undecided, then goes on, until `stop`; then waits for what is under way.
    pub(super) async fn run(self, open: Vec<u64>, mut next: u64, stop: CancellationToken) -> io::Result<()> {
        let mut open = VecDeque::from(open);
        let mut under_way = FuturesUnordered::new();
        let mut pace = interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(ended) = under_way.next(), if !under_way.is_empty() => ended?,
                () = stop.cancelled(), if under_way.is_empty() && open.is_empty() => return Ok(()),
                _ = pace.tick(), if under_way.len() < self.depth && !(stop.is_cancelled() && open.is_empty()) => {
                    let number = open.pop_front().unwrap_or_else(|| {
                        next += 1;
                        next - 1
                    });
                    self.ledger.note(Fate::Sent, &self.key, number)?;
                    under_way.push(self.bring(number));
                }
            }
        }
    }

    async fn bring(&self, number: u64) -> io::Result<()> {
        loop {
            match self.publish(number).await {
                Ok(()) => {
                    self.ledger.note(Fate::Confirmed, &self.key, number)?;
                    Counts::one(&self.counts.done);
                    return Ok(());
                }
                Err(error) => {
                    eprintln!("{} {number}: {error}", self.key);
                    let (count, fate) = match error {
                        PublishError::QueueFull { .. } => (&self.counts.refused, Fate::Refused),
                        _ => (&self.counts.failed, Fate::Failed),
                    };
                    Counts::one(count);
                    if self.depth > 1 {
                        return self.ledger.note(fate, &self.key, number);
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn publish(&self, number: u64) -> Result<(), PublishError> {
        let fails = u32::from(self.fails_every.is_some_and(|every| number.is_multiple_of(every)));
        let mut event = Event::new("chaos", Step { key: self.key.clone(), number, fails });
        event.id = format!("evt_{}_{number}", self.key).into();
        let exchange = exchange(self.partition);
        let publishing =
            Context::root().with_timeout(self.deadline).scope(self.broker.publish_event(&exchange, &event));
        match timeout(self.deadline + GRACE, publishing).await {
            Ok(answer) => answer.map(drop),
            Err(_) => {
                Counts::one(&self.counts.late);
                Err(PublishError::Unknown { id: event.id })
            }
        }
    }

    /// Publishes so many events at once, beyond what the queue of this process may hold.
    pub(super) async fn burst(&self, numbers: std::ops::Range<u64>) -> io::Result<()> {
        let mut under_way: FuturesUnordered<_> = numbers
            .map(|number| async move {
                self.ledger.note(Fate::Sent, &self.key, number)?;
                self.bring(number).await
            })
            .collect();
        while let Some(ended) = under_way.next().await {
            ended?;
        }
        Ok(())
    }
}
