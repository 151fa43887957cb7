//! Publishes events if, and only if, the transaction that caused them commits.
//!
//! [`Outbox::write`] puts an event into a table of the caller's own database, within the caller's transaction. A
//! [relay](Outbox::relay) publishes what is there, in the order it was written, and marks it sent once the broker has
//! confirmed it. A crash in between has the event published again: consumers take it once with an
//! [`Inbox`](crate::inbox::Inbox).
//!
//! - Events without a key are sent in the order they were written, as long as none fails.
//! - Events with the same ordering key are sent strictly one after the other, by however many relays;
//!   [`RelayConfig::key_window`] sends several ahead of their confirms. That is the order
//!   of their `write` calls; transactions that write the same key at once are ordered by whatever lock they share.
//! - The context of the writer (trace, request id, principal) is that of the publish.
//!
//! SQLite needs WAL mode, a busy timeout, and transactions that begin with `BEGIN IMMEDIATE`: one that began as a reader
//! cannot always become a writer.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use sap_comm_core::{Event, EventPayload};
//! use sap_comm_events::{Broker, BrokerConfig, EventRouter, inbox::Inbox, outbox::{Outbox, RelayConfig}};
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize, EventPayload)]
//! #[event(type = "user.created")]
//! struct UserCreated {
//!     email: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let url = format!("sqlite://{}?mode=rwc", directory.path().join("users.db").display());
//! # let broker = Broker::connect("memory://", BrokerConfig::new("user-service")).await?;
//! sqlx::any::install_default_drivers();
//! let pool = sqlx::AnyPool::connect(&url).await?;
//! let (outbox, inbox) = (Outbox::new(pool.clone()), Inbox::new(pool.clone(), "user-service"));
//! outbox.migrate().await?;
//! inbox.migrate().await?;
//!
//! let (seen, mut arrived) = tokio::sync::mpsc::channel(1);
//! let consumer = pool.clone();
//! let router = EventRouter::new().on(move |event: Event<UserCreated>| {
//!     let (pool, inbox, seen) = (consumer.clone(), inbox.clone(), seen.clone());
//!     async move {
//!         let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//!         if inbox.once(&mut tx, &event.id).await? {
//!             // … the effect, in the same transaction
//!             tx.commit().await?;
//!             seen.send(event.data.email).await?;
//!         }
//!         Ok(())
//!     }
//! });
//! let subscription = broker.subscribe("user.events", router).await?;
//! let relay = outbox.relay(broker.clone(), RelayConfig::default())?;
//!
//! let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//! // … the cause, in the same transaction
//! let event = Event::new("user-service", UserCreated { email: "a@example.com".into() });
//! outbox.write(&mut tx, "user.events", &event).await?;
//! outbox.commit(tx).await?;
//!
//! assert_eq!(arrived.recv().await.as_deref(), Some("a@example.com"));
//! relay.stop().await?;
//! # subscription.stop().await;
//! # Ok(())
//! # }
//! ```

mod batch;
mod config;
mod entry;
mod failing;
mod relay;
mod statements;
mod store;
mod wake;

use std::fmt;

use sap_comm_core::{Event, EventKind, EventPayload, RawEvent, config::ConfigError};
use serde::Serialize;
use sqlx::{Database, Transaction};

pub use config::{RelayConfig, Unroutable};
pub use failing::FailingEvent;
pub use relay::RelayHandle;

use self::{entry::NewEntry, store::Store, wake::Wake};
use crate::{
    Broker,
    broker::MAX_EVENT_BYTES,
    sql::{SqlConnection, SqlError, SqlPool},
    topology::{MAX_EVENT_TYPE, check_name},
};

/// Events on their way from a database to the broker. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    store: Store,
    wake: Wake,
    max_event_bytes: usize,
}

/// The longest ordering key: it travels as a header with each event.
const MAX_KEY: usize = 1_024;

impl Outbox {
    /// An outbox in the database of `pool`: `AnyPool`, `SqlitePool` or `PgPool`.
    pub fn new(pool: impl Into<SqlPool>) -> Self {
        Self { store: Store::new(pool.into()), wake: Wake::default(), max_event_bytes: MAX_EVENT_BYTES }
    }

    /// The largest event, as JSON: a broker's own limit, which no event over it would ever pass. 4 MiB, as
    /// [`BrokerConfig::max_event_bytes`](crate::BrokerConfig::max_event_bytes).
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Makes the table `sap_outbox` and its indexes where they are missing.
    ///
    /// # Errors
    /// When the database refuses or is not supported.
    pub async fn migrate(&self) -> Result<(), SqlError> {
        self.store.migrate().await
    }

    /// Writes an event within the caller's transaction, to be published to `exchange` once it commits.
    ///
    /// # Errors
    /// When the event cannot be published at all, or the database refuses; then the transaction should not commit.
    pub async fn write<T: EventPayload, C: SqlConnection + ?Sized>(
        &self,
        connection: &mut C,
        exchange: &str,
        event: &Event<T>,
    ) -> Result<(), SqlError> {
        self.put(connection, exchange, None, event, T::KIND).await
    }

    /// Like [`Outbox::write`]; events of the same `key` are sent strictly in the order they were written, and published with it
    /// as their [ordering key](crate::PublishOptions::ordering_key).
    ///
    /// # Errors
    /// As [`Outbox::write`].
    pub async fn write_ordered<T: EventPayload, C: SqlConnection + ?Sized>(
        &self,
        connection: &mut C,
        exchange: &str,
        key: &str,
        event: &Event<T>,
    ) -> Result<(), SqlError> {
        self.put(connection, exchange, Some(key), event, T::KIND).await
    }

    /// Like [`Outbox::write`], for an event whose payload is not looked into.
    ///
    /// # Errors
    /// As [`Outbox::write`].
    pub async fn write_raw<C: SqlConnection + ?Sized>(
        &self,
        connection: &mut C,
        exchange: &str,
        key: Option<&str>,
        event: &RawEvent,
        kind: EventKind,
    ) -> Result<(), SqlError> {
        self.put(connection, exchange, key, event, kind).await
    }

    async fn put<T: Serialize, C: SqlConnection + ?Sized>(
        &self,
        connection: &mut C,
        exchange: &str,
        key: Option<&str>,
        event: &Event<T>,
        kind: EventKind,
    ) -> Result<(), SqlError> {
        let unpublishable = |reason: String| SqlError::Unpublishable { reason };
        check_name("exchange", exchange).map_err(|error| unpublishable(error.to_string()))?;
        if !(1..=MAX_EVENT_TYPE).contains(&event.event_type.len()) {
            let length = event.event_type.len();
            return Err(unpublishable(format!("its type has {length} bytes; a routing key has 1 to 255")));
        }
        if let Some(length) = key.map(str::len).filter(|length| *length > MAX_KEY) {
            return Err(unpublishable(format!("its ordering key has {length} bytes; the limit is {MAX_KEY}")));
        }
        let entry = NewEntry::of(exchange, key, event, kind)?;
        let (size, limit) = (entry.event.len(), self.max_event_bytes);
        if size > limit {
            return Err(SqlError::TooLarge { id: event.id.clone(), size, limit });
        }
        self.store.insert(connection, entry).await?;
        self.wake.wake();
        Ok(())
    }

    /// Commits the transaction and wakes the relays of this process at once.
    ///
    /// After a plain commit they look for the event within milliseconds, and after that at their poll interval.
    ///
    /// # Errors
    /// When the commit fails; the events may or may not be sent, as with any commit.
    pub async fn commit<D: Database>(&self, transaction: Transaction<'_, D>) -> Result<(), SqlError> {
        transaction.commit().await.map_err(SqlError::doing("commit the transaction"))?;
        self.wake.wake();
        Ok(())
    }

    /// Starts to publish what was written and committed, until the handle is stopped or dropped.
    ///
    /// Any number of relays, in any number of processes, share the work.
    ///
    /// # Errors
    /// When an option of `config` is invalid; it is named.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn relay(&self, broker: Broker, config: RelayConfig) -> Result<RelayHandle, ConfigError> {
        config.validate()?;
        Ok(RelayHandle::start(self.store.clone(), &self.wake, broker, config))
    }

    /// How many events were written and are not sent.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pending(&self) -> Result<u64, SqlError> {
        self.store.pending().await
    }

    /// The oldest events that failed at least once and are not sent, `limit` at most.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn failing(&self, limit: u32) -> Result<Vec<FailingEvent>, SqlError> {
        self.store.failing(limit).await
    }

    /// Gives an unsent event up, so that those behind it go on; whether there was one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn discard(&self, number: i64) -> Result<bool, SqlError> {
        let discarded = self.store.discard(number).await?;
        self.wake.wake();
        Ok(discarded)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("store", &self.store).finish_non_exhaustive()
    }
}
