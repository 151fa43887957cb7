//! Publishes straight to the broker: some keys one event at a time, some ahead of their confirms.

use std::{sync::Arc, time::Duration};

use sap_comm::events::{BrokerConfig, OverflowPolicy};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    CLOSE_LIMIT, Role,
    desk::Desk,
    lane::Lane,
    ledger::{self, Fate, Ledger},
};
use crate::BenchError;

/// More than the lanes need, less than a burst.
const CAPACITY: usize = 128;
/// What consumers that write to a database behind an inbox can follow, on two cores beside three brokers.
const PACE: Duration = Duration::from_millis(45);
/// Of a publish alone in its lane: shorter than most faults, so that it is sent again with the same id.
const SHORT: Duration = Duration::from_secs(3);
/// Of publishes ahead of their confirms: longer than any fault.
const LONG: Duration = Duration::from_secs(90);

pub(super) async fn run(role: &Role, partitions: u32, desk: &Desk) -> Result<(), BenchError> {
    let file = role.file("ledger");
    let failed = || BenchError::refused("keep the ledger");
    let mut known = ledger::read(&file).map_err(failed())?;
    let ledger = Arc::new(Ledger::open(&file).map_err(failed())?);
    let confirmed = known.values().flat_map(|numbers| numbers.values()).filter(|fate| **fate == Fate::Confirmed);
    desk.counts.done.store(confirmed.count() as u64, std::sync::atomic::Ordering::Relaxed);
    let config = BrokerConfig::new("chaos").publish_deadline(LONG).queue_capacity(CAPACITY);
    let broker = role.connect(config.overflow(OverflowPolicy::Refuse)).await?;

    let stop = CancellationToken::new();
    let mut lanes = JoinSet::new();
    for (place, (kind, depth, deadline, fails_every)) in [
        ("single", 1, SHORT, None),
        ("single", 1, SHORT, None),
        ("ahead", 8, LONG, None),
        ("ahead", 16, LONG, None),
        ("retried", 1, SHORT, Some(5)),
    ]
    .into_iter()
    .enumerate()
    {
        let place = u32::try_from(place).unwrap_or_default();
        let key = format!("{}.{kind}.{place}", role.name);
        let numbers = known.remove(&key).unwrap_or_default();
        let next = numbers.last_key_value().map_or(0, |(number, _)| number + 1);
        let open = numbers.into_iter().filter(|(_, fate)| *fate == Fate::Sent).map(|(number, _)| number).collect();
        let (broker, ledger, counts) = (broker.clone(), Arc::clone(&ledger), Arc::clone(&desk.counts));
        let partition = place % partitions;
        let lane = Lane { key, partition, depth, deadline, pace: PACE, fails_every, broker, ledger, counts };
        lanes.spawn(lane.run(open, next, stop.clone()));
    }
    let key = format!("{}.burst", role.name);
    let next = known.remove(&key).and_then(|numbers| Some(numbers.last_key_value()?.0 + 1)).unwrap_or(0);
    let (broker_of_burst, counts) = (broker.clone(), Arc::clone(&desk.counts));
    let lane = Lane {
        key,
        partition: 0,
        depth: CAPACITY,
        deadline: LONG,
        pace: PACE,
        fails_every: None,
        broker: broker_of_burst,
        ledger,
        counts,
    };
    drop(known);
    bursts(&lane, next, desk).await?;
    stop.cancel();
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(BenchError::refused("publish"))?.map_err(failed())?;
    }
    broker.close(CLOSE_LIMIT).await;
    Ok(())
}

/// Publishes a burst whenever one is ordered, until the stop.
async fn bursts(lane: &Lane, mut next: u64, desk: &Desk) -> Result<(), BenchError> {
    let mut orders = desk.orders.clone();
    // Those before were the business of an earlier process.
    let mut done = orders.borrow_and_update().burst;
    loop {
        let now = *orders.borrow_and_update();
        if now.stop {
            return Ok(());
        }
        let numbers = next..next + now.burst.saturating_sub(done);
        (next, done) = (numbers.end, now.burst);
        lane.burst(numbers).await.map_err(BenchError::refused("keep the ledger"))?;
        if orders.changed().await.is_err() {
            return Ok(());
        }
    }
}
