//! Publishes through an outbox: what its transaction commits must arrive.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use sap_comm::{
    BoxError, Event,
    events::{
        BrokerConfig,
        outbox::{Outbox, RelayConfig},
    },
};
use sqlx::{Row, SqlitePool};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{CLOSE_LIMIT, Role, consumer::database, desk::Counts, desk::Desk};
use crate::{
    BenchError,
    chaos::{Step, exchange},
};

const PACE: Duration = Duration::from_millis(40);
/// How many events of a key are ahead of their confirms: one by one, a busy queue confirms no faster than they are written.
const AHEAD: usize = 16;
/// Longer than any fault, since an event that fails gives up its place.
const DEADLINE: Duration = Duration::from_secs(90);
/// So that a killed relay's claims are free soon.
const LEASE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);

pub(super) async fn run(role: &Role, partitions: u32, desk: &Desk) -> Result<(), BenchError> {
    let pool = database(&role.file("db")).await.map_err(refused)?;
    let create =
        "create table if not exists written (place integer primary key autoincrement, key text, number integer)";
    sqlx::query(create).execute(&pool).await.map_err(refused)?;
    let outbox = Outbox::new(pool.clone());
    outbox.migrate().await.map_err(refused)?;
    let already: i64 = sqlx::query_scalar("select count(*) from written").fetch_one(&pool).await.map_err(refused)?;
    desk.counts.done.store(already.unsigned_abs(), Ordering::Relaxed);
    let broker = role.connect(BrokerConfig::new("chaos").publish_deadline(DEADLINE)).await?;
    let config =
        RelayConfig::new().key_window(AHEAD).lease(LEASE).poll_interval(POLL).backoff(POLL).max_backoff(POLL * 5);
    let relay = outbox.relay(broker.clone(), config).map_err(refused)?;

    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !desk.orders.borrow().stop {
        pace.tick().await;
        for partition in 0..partitions {
            write(&pool, &outbox, &role.name, partition).await?;
            Counts::one(&desk.counts.done);
        }
    }
    while outbox.pending().await.map_err(refused)? > 0 {
        sleep(POLL).await;
    }
    relay.stop().await.map_err(refused)?;
    broker.close(CLOSE_LIMIT).await;
    Ok(())
}

/// Writes the next event of a partition's key, in the transaction that counts it.
async fn write(pool: &SqlitePool, outbox: &Outbox, name: &str, partition: u32) -> Result<(), BenchError> {
    let key = format!("{name}.outbox.{partition}");
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(refused)?;
    let next =
        "insert into written (key, number) values (?1, (select count(*) from written where key = ?1)) returning number";
    let number: i64 = sqlx::query_scalar(next).bind(&key).fetch_one(&mut *tx).await.map_err(refused)?;
    let number = number.unsigned_abs();
    let mut event = Event::new("chaos", Step { key: key.clone(), number, fails: 0 });
    event.id = format!("evt_{key}_{number}").into();
    outbox.write_ordered(&mut tx, &exchange(partition), &key, &event).await.map_err(refused)?;
    outbox.commit(tx).await.map_err(refused)
}

/// Every event that a committed transaction wrote.
pub(in crate::chaos) async fn written(file: &Path) -> Result<Vec<(String, u64)>, BenchError> {
    let pool = database(file).await.map_err(refused)?;
    let rows = sqlx::query("select key, number from written order by place").fetch_all(&pool).await;
    Ok(rows.map_err(refused)?.iter().map(|row| (row.get(0), row.get::<i64, _>(1).unsigned_abs())).collect())
}

fn refused(error: impl Into<BoxError>) -> BenchError {
    BenchError::refused("keep the outbox")(error)
}
