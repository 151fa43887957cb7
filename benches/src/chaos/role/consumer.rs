//! Gives each event its effect, once, behind an inbox.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use futures_util::future::join_all;
use sap_comm::{
    BoxError, Context, Event,
    events::{BrokerConfig, EventRouter, HandlerError, OrderingKey, Subscription, inbox::Inbox},
};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, sleep};

use super::{CLOSE_LIMIT, Role, desk::Counts, desk::Desk};
use crate::{
    BenchError,
    chaos::{ORDERED, RETRIED, RETRY_MS, Step, exchange},
};

const PREFETCH: u16 = 50;
/// Keys that are handled at once.
const CONCURRENCY: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// Events are redelivered for the run's own deeds; none is to be taken for one that kills its consumer.
const MAX_REDELIVERIES: u32 = 100_000;

/// Every so many events one fails at first, where order does not count.
const FAILS_EVERY: u64 = 7;

/// Consumes a partition; failed events hold their key.
pub(super) async fn in_order(role: &Role, partition: u32, quorum: bool, desk: &Desk) -> Result<(), BenchError> {
    // Counting would move what a dead process held to the end of the queue.
    let config = config(ORDERED).count_redeliveries(false);
    // Order outlives a connection only with one active consumer, and retries only where they hold their key.
    let by_key = OrderingKey::from_fn(|event| serde_json::from_str::<Step>(event.data.get()).ok().map(|step| step.key));
    let subscription = Subscription::new(exchange(partition)).single_active().ordered_by(by_key);
    run(role, config, vec![of(subscription, quorum)], |step| step.fails, desk).await
}

/// Consumes every partition; failed events come again by the ladder of delays.
pub(super) async fn retried(role: &Role, partitions: u32, quorum: bool, desk: &Desk) -> Result<(), BenchError> {
    let subscriptions = (0..partitions).map(|partition| of(Subscription::new(exchange(partition)), quorum));
    let fails = |step: &Step| step.fails.max(u32::from(step.number.is_multiple_of(FAILS_EVERY)));
    run(role, config(RETRIED), subscriptions.collect(), fails, desk).await
}

fn config(group: &str) -> BrokerConfig {
    let config = BrokerConfig::new(group).max_redeliveries(MAX_REDELIVERIES);
    config.retry_delays([Duration::from_millis(RETRY_MS)]).prefetch(PREFETCH)
}

fn of(subscription: Subscription, quorum: bool) -> Subscription {
    let subscription = subscription.concurrency(CONCURRENCY);
    if quorum { subscription.quorum() } else { subscription }
}

/// Consumes until the run says stop; `fails` says how many attempts of an event are to fail.
async fn run(
    role: &Role,
    config: BrokerConfig,
    subscriptions: Vec<Subscription>,
    fails: fn(&Step) -> u32,
    desk: &Desk,
) -> Result<(), BenchError> {
    let pool = database(&role.file("db")).await.map_err(refused)?;
    for table in ["effect", "again"] {
        let create = format!(
            "create table if not exists {table} (place integer primary key autoincrement, key text, number integer)"
        );
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&pool).await.map_err(refused)?;
    }
    let inbox = Inbox::new(pool.clone(), "effects");
    inbox.migrate().await.map_err(refused)?;
    let already: i64 = sqlx::query_scalar("select count(*) from effect").fetch_one(&pool).await.map_err(refused)?;
    desk.counts.done.store(already.unsigned_abs(), Ordering::Relaxed);

    let broker = role.connect(config).await?;
    let (orders, counts) = (desk.orders.clone(), std::sync::Arc::clone(&desk.counts));
    let router = EventRouter::new().on(move |event: Event<Step>| {
        let (pool, inbox, counts) = (pool.clone(), inbox.clone(), std::sync::Arc::clone(&counts));
        let slow = Duration::from_millis(orders.borrow().slow);
        async move {
            sleep(slow).await;
            if Context::current().attempt() <= fails(&event.data) {
                return Err(HandlerError::retry("it is to fail at first"));
            }
            // To fail would cost the event its place: a database that is busy is asked again.
            loop {
                match apply(&pool, &inbox, &event).await {
                    Ok(first) => {
                        if first {
                            Counts::one(&counts.done);
                        }
                        return Ok(());
                    }
                    Err(error) => eprintln!("{}: {error}", event.id),
                }
                sleep(PAUSE).await;
            }
        }
    });
    let mut held = Vec::new();
    for subscription in subscriptions {
        held.push(loop {
            match broker.subscribe(subscription.clone(), router.clone()).await {
                Ok(handle) => break handle,
                Err(error) => eprintln!("{error}"),
            }
            sleep(PAUSE).await;
        });
    }
    std::fs::write(role.subscribed(), "").map_err(refused)?;
    desk.stopped().await;
    let stopping = Instant::now();
    join_all(held.into_iter().map(|handle| handle.stop())).await;
    eprintln!("stopped after {:.1?}: {:?}", stopping.elapsed(), broker.health());
    broker.close(CLOSE_LIMIT).await;
    eprintln!("closed after {:.1?}: {:?}", stopping.elapsed(), broker.health());
    Ok(())
}

/// Notes the effect in the transaction that notes the event; whether it was the first time.
async fn apply(pool: &SqlitePool, inbox: &Inbox, event: &Event<Step>) -> Result<bool, BenchError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(refused)?;
    let first = inbox.once(&mut tx, &event.id).await.map_err(refused)?;
    let insert = if first {
        "insert into effect (key, number) values (?, ?)"
    } else {
        "insert into again (key, number) values (?, ?)"
    };
    let number = i64::try_from(event.data.number).map_err(refused)?;
    sqlx::query(insert).bind(&event.data.key).bind(number).execute(&mut *tx).await.map_err(refused)?;
    tx.commit().await.map_err(refused)?;
    Ok(first)
}

pub(super) async fn database(file: &Path) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // What is committed outlives the process, though not the machine.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await
}

/// What had its effect, in order, and how many deliveries the inbox took for known.
pub(in crate::chaos) async fn effects(file: &Path) -> Result<(Vec<(String, u64)>, u64), BenchError> {
    let pool = database(file).await.map_err(refused)?;
    let rows = sqlx::query("select key, number from effect order by place").fetch_all(&pool).await.map_err(refused)?;
    let effects = rows.iter().map(|row| (row.get(0), row.get::<i64, _>(1).unsigned_abs())).collect();
    let again: i64 = sqlx::query_scalar("select count(*) from again").fetch_one(&pool).await.map_err(refused)?;
    Ok((effects, again.unsigned_abs()))
}

fn refused(error: impl Into<BoxError>) -> BenchError {
    BenchError::refused("keep the effects")(error)
}
