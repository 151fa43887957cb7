use std::{fmt, sync::Arc, time::Duration};

use sap_comm_core::Timestamp;

use super::{
    FailingEvent,
    entry::{Entry, NewEntry},
    statements::Statements,
};
use crate::sql::{Dialect, Kind, Session, SqlError, SqlPool, Value};

/// The table of an outbox.
#[derive(Clone)]
pub(super) struct Store {
    pool: SqlPool,
}

/// How much one claim takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) events: u32,
    /// One event may be larger.
    pub(super) bytes: i64,
}

/// What a claim got.
#[derive(Debug)]
pub(super) enum Claim {
    /// The oldest free events, by number; maybe none.
    Got(Vec<Entry>),
    /// Another relay is at it.
    Busy,
}

const ENTRY: [Kind; 7] = [Kind::Int, Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Text, Kind::Int];
const FAILING: [Kind; 7] = [Kind::Int, Kind::Text, Kind::Text, Kind::Text, Kind::Int, Kind::Text, Kind::Int];
/// How much of an error is kept.
const MAX_ERROR: usize = 1_000;

impl Store {
    pub(super) fn new(pool: SqlPool) -> Self {
        Self { pool }
    }

    fn statements(&self) -> Result<(Dialect, &'static Statements), SqlError> {
        let dialect = self.pool.dialect()?;
        Ok((dialect, Statements::of(dialect)))
    }

    pub(super) async fn migrate(&self) -> Result<(), SqlError> {
        let (_, statements) = self.statements()?;
        self.pool.migrate(statements.lock_schema.as_ref(), &statements.schema).await
    }

    pub(super) async fn insert<C: Session + ?Sized>(&self, connection: &mut C, new: NewEntry) -> Result<(), SqlError> {
        let statements = Statements::of(connection.dialect()?);
        let values = vec![
            new.event_id.into(),
            new.exchange.into(),
            new.kind.as_str().into(),
            Value::Text(new.key),
            new.event.into(),
            new.context.into(),
            new.written_at.as_millis().into(),
        ];
        let inserted = connection.run(&statements.insert, values).await;
        inserted.map(drop).map_err(SqlError::doing("write to the outbox"))
    }

    /// Whether a claim is worth its lock.
    pub(super) async fn has_work(&self) -> Result<bool, SqlError> {
        let (_, statements) = self.statements()?;
        Ok(self.number(&statements.look, Vec::new(), "look into the outbox").await? != 0)
    }

    pub(super) async fn claim(&self, owner: &str, lease: Duration, most: Most) -> Result<Claim, SqlError> {
        let (dialect, statements) = self.statements()?;
        let claim = async {
            let mut transaction = self.pool.begin(dialect).await?;
            let session = transaction.session();
            if let Some(lock) = &statements.lock_claims
                && first_number(&session.fetch(lock, Vec::new(), &[Kind::Int]).await?) != 1
            {
                return Ok(Claim::Busy);
            }
            let values = vec![owner.into(), millis(lease).into(), i64::from(most.events).into(), most.bytes.into()];
            let rows = session.fetch(&statements.claim, values, &ENTRY).await?;
            transaction.commit().await?;
            let mut entries: Vec<_> = rows.into_iter().filter_map(entry).collect();
            entries.sort_unstable_by_key(|entry| entry.number);
            Ok(Claim::Got(entries))
        };
        claim.await.map_err(SqlError::doing("claim events of the outbox"))
    }

    /// Renews the claim on what `owner` has claimed and not sent; how many events that still is.
    pub(super) async fn renew(&self, owner: &str, lease: Duration) -> Result<u64, SqlError> {
        let (_, statements) = self.statements()?;
        let values = vec![owner.into(), millis(lease).into()];
        self.run(&statements.renew, values, "renew the claim on events of the outbox").await
    }

    /// Frees what `owner` has claimed and not sent.
    pub(super) async fn release(&self, owner: &str) -> Result<(), SqlError> {
        let (_, statements) = self.statements()?;
        self.run(&statements.release, vec![owner.into()], "release events of the outbox").await.map(drop)
    }

    /// The broker has these events, whoever has claimed them by now.
    pub(super) async fn sent(&self, numbers: &[i64], keep: bool) -> Result<(), SqlError> {
        let (_, statements) = self.statements()?;
        let statement = if keep { &statements.sent } else { &statements.remove };
        self.run(statement, vec![Dialect::list(numbers).into()], "mark events of the outbox as sent").await.map(drop)
    }

    /// Notes that an event was not published, which counts as an attempt or not.
    pub(super) async fn postpone(
        &self,
        owner: &str,
        number: i64,
        error: &str,
        by: Duration,
        counts: bool,
    ) -> Result<(), SqlError> {
        let (_, statements) = self.statements()?;
        let error: String = error.chars().filter(|c| *c != '\0').take(MAX_ERROR).collect();
        let values = vec![number.into(), owner.into(), error.into(), millis(by).into(), i64::from(counts).into()];
        self.run(&statements.postpone, values, "postpone an event of the outbox").await.map(drop)
    }

    /// Removes events that were sent longer ago than `retention`; how many.
    pub(super) async fn clean(&self, retention: Duration) -> Result<u64, SqlError> {
        let (_, statements) = self.statements()?;
        self.run(&statements.clean, vec![millis(retention).into()], "clean the outbox").await
    }

    pub(super) async fn pending(&self) -> Result<u64, SqlError> {
        let (_, statements) = self.statements()?;
        let count = self.number(&statements.pending, Vec::new(), "count the events of the outbox").await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn failing(&self, limit: u32) -> Result<Vec<FailingEvent>, SqlError> {
        let (_, statements) = self.statements()?;
        let rows = async {
            let mut session = self.pool.acquire().await?;
            session.fetch(&statements.failing, vec![i64::from(limit).into()], &FAILING).await
        };
        let rows = rows.await.map_err(SqlError::doing("list failing events of the outbox"))?;
        Ok(rows.into_iter().filter_map(failing).collect())
    }

    pub(super) async fn discard(&self, number: i64) -> Result<bool, SqlError> {
        let (_, statements) = self.statements()?;
        Ok(self.run(&statements.discard, vec![number.into()], "discard an event of the outbox").await? > 0)
    }

    async fn run(&self, sql: &Arc<str>, values: Vec<Value>, doing: &'static str) -> Result<u64, SqlError> {
        let run = async { self.pool.acquire().await?.run(sql, values).await };
        run.await.map_err(SqlError::doing(doing))
    }

    async fn number(&self, sql: &Arc<str>, values: Vec<Value>, doing: &'static str) -> Result<i64, SqlError> {
        let rows = async { self.pool.acquire().await?.fetch(sql, values, &[Kind::Int]).await };
        rows.await.map(|rows| first_number(&rows)).map_err(SqlError::doing(doing))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

fn first_number(rows: &[Vec<Value>]) -> i64 {
    match rows.first().and_then(|row| row.first()) {
        Some(Value::Int(Some(number))) => *number,
        _ => 0,
    }
}

/// The columns that are `NOT NULL` are there.
fn entry(row: Vec<Value>) -> Option<Entry> {
    let Ok(
        [
            Value::Int(Some(number)),
            Value::Text(Some(exchange)),
            Value::Text(Some(kind)),
            Value::Text(key),
            Value::Text(Some(event)),
            Value::Text(Some(context)),
            Value::Int(Some(attempts)),
        ],
    ) = <[Value; 7]>::try_from(row)
    else {
        return None;
    };
    Some(Entry { number, exchange, kind, key, event, context, attempts })
}

fn failing(row: Vec<Value>) -> Option<FailingEvent> {
    let Ok(
        [
            Value::Int(Some(number)),
            Value::Text(Some(event_id)),
            Value::Text(Some(exchange)),
            Value::Text(key),
            Value::Int(Some(attempts)),
            Value::Text(error),
            Value::Int(Some(written_at)),
        ],
    ) = <[Value; 7]>::try_from(row)
    else {
        return None;
    };
    let (attempts, error) = (u32::try_from(attempts).unwrap_or(u32::MAX), error.unwrap_or_default());
    Some(FailingEvent {
        number,
        event_id,
        exchange,
        key,
        attempts,
        error,
        written_at: Timestamp::from_millis(written_at),
    })
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dialect", &self.pool.dialect().ok()).finish_non_exhaustive()
    }
}
