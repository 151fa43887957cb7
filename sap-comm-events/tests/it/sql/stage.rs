//! A database, a broker and a consumer for the tests of outbox and inbox.

use std::{future::Future, time::Duration};

use sap_comm_core::{Context, Event, EventPayload};
use sap_comm_events::{
    Broker, BrokerConfig, EventRouter, SubscriptionHandle,
    outbox::{Outbox, RelayConfig},
};
use sap_comm_testkit::Postgres;
use serde::{Deserialize, Serialize};
use sqlx::{
    Any, AnyPool, Executor, Row, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::events::UserCreated;

pub(crate) const NOTES: &str = "note.events";
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventPayload)]
#[event(type = "note.taken")]
pub(crate) struct NoteTaken {
    pub(crate) key: String,
    pub(crate) number: u32,
}

/// A database that outlives its pools, as a disk outlives processes.
#[derive(Debug)]
pub(crate) enum Stage {
    Sqlite(TempDir),
    Postgres(String),
}

impl Stage {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Postgres::shared().await.unwrap().new_database().await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(dir) => format!("sqlite://{}?mode=rwc", dir.path().join("test.db").display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// A pool of a process of its own.
    pub(crate) async fn pool(&self) -> AnyPool {
        install_default_drivers();
        let session = match self {
            Self::Sqlite(_) => "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000;",
            Self::Postgres(_) => "SET application_name = 'test';",
        };
        AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(move |connection, _| Box::pin(async move { connection.execute(session).await.map(drop) }))
            .connect(&self.url())
            .await
            .unwrap()
    }

    pub(crate) async fn begin(&self, pool: &AnyPool) -> Transaction<'static, Any> {
        match self {
            Self::Sqlite(_) => pool.begin_with("BEGIN IMMEDIATE").await.unwrap(),
            Self::Postgres(_) => pool.begin().await.unwrap(),
        }
    }

    /// An outbox in a pool of its own, its table made.
    pub(crate) async fn outbox(&self) -> (AnyPool, Outbox) {
        let pool = self.pool().await;
        let outbox = Outbox::new(pool.clone());
        outbox.migrate().await.unwrap();
        (pool, outbox)
    }

    /// Writes a note and commits.
    pub(crate) async fn note(&self, pool: &AnyPool, outbox: &Outbox, key: &str, number: u32) {
        let mut transaction = self.begin(pool).await;
        outbox.write_ordered(&mut transaction, NOTES, key, &note(key, number)).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Writes so many notes of each key, those of one number in one transaction.
    pub(crate) async fn notes(&self, pool: &AnyPool, outbox: &Outbox, keys: &[&str], each: u32) {
        for number in 0..each {
            let mut transaction = self.begin(pool).await;
            for key in keys {
                outbox.write_ordered(&mut transaction, NOTES, key, &note(key, number)).await.unwrap();
            }
            transaction.commit().await.unwrap();
        }
    }

    /// Writes an event of key `a` that nobody consumes before [`want`], and notes behind it, in one transaction.
    pub(crate) async fn unwanted_before(
        &self,
        pool: &AnyPool,
        outbox: &Outbox,
        notes: impl IntoIterator<Item = Event<NoteTaken>>,
    ) -> Event<UserCreated> {
        let mut transaction = self.begin(pool).await;
        let unwanted = Event::new("note-service", UserCreated::numbered(1));
        outbox.write_ordered(&mut transaction, NOTES, "a", &unwanted).await.unwrap();
        for note in notes {
            outbox.write_ordered(&mut transaction, NOTES, &note.data.key, &note).await.unwrap();
        }
        transaction.commit().await.unwrap();
        unwanted
    }
}

/// Consumes what was unwanted so far.
pub(crate) async fn want(broker: &Broker) -> SubscriptionHandle {
    let router = EventRouter::new().on(|_: Event<UserCreated>| async { Ok(()) });
    broker.for_service("other-service").subscribe(NOTES, router).await.unwrap()
}

/// Waits until the oldest event that fails has failed so often.
pub(crate) async fn failed(outbox: &Outbox, times: u32) {
    eventually("several attempts", || async {
        outbox.failing(1).await.unwrap().first().is_some_and(|event| event.attempts >= times)
    })
    .await;
}

pub(crate) fn note(key: &str, number: u32) -> Event<NoteTaken> {
    Event::new("note-service", NoteTaken { key: key.to_owned(), number })
}

/// Tries again soon, and looks rarely, so that what is seen at once was not polled for.
pub(crate) fn brisk() -> RelayConfig {
    RelayConfig::new().backoff(Duration::from_millis(20)).max_backoff(Duration::from_millis(100))
}

pub(crate) fn broker() -> Broker {
    Broker::memory(BrokerConfig::new("note-service")).unwrap()
}

/// The notes that a consumer group gets, in their order.
pub(crate) struct Sink {
    arrived: mpsc::UnboundedReceiver<(Event<NoteTaken>, Context)>,
    _subscription: SubscriptionHandle,
}

impl Sink {
    pub(crate) async fn new(broker: &Broker) -> Self {
        let (seen, arrived) = mpsc::unbounded_channel();
        let router = EventRouter::new().on(move |event: Event<NoteTaken>| {
            let seen = seen.clone();
            async move { Ok(seen.send((event, Context::current()))?) }
        });
        Self { arrived, _subscription: broker.subscribe(NOTES, router).await.unwrap() }
    }

    pub(crate) async fn next(&mut self) -> (Event<NoteTaken>, Context) {
        timeout(LIMIT, self.arrived.recv()).await.expect("a note in time").expect("the subscription is held")
    }

    pub(crate) async fn number(&mut self) -> u32 {
        self.next().await.0.data.number
    }

    /// What has arrived by now.
    pub(crate) fn so_far(&mut self) -> Vec<NoteTaken> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).map(|(event, _)| event.data).collect()
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + LIMIT;
    while !ask().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn all_sent(outbox: &Outbox) {
    eventually("every event is marked as sent", || async { outbox.pending().await.unwrap() == 0 }).await;
}

pub(crate) async fn count(pool: &AnyPool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().try_get(0).unwrap()
}

/// Each test on both databases.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* async fn $name:ident($stage:ident: &Stage) $body:block)*) => {
        $(async fn $name($stage: &Stage) $body)*

        mod sqlite {
            $(#[tokio::test] $(#[$attribute])* async fn $name() {
                super::$name(&super::Stage::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test] $(#[$attribute])* async fn $name() {
                super::$name(&super::Stage::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;
