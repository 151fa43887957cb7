//! Gives an event its effect once, however often it is delivered.
//!
//! [`Inbox::once`] notes the event's id within the transaction of its effect: both are there, or neither is.

mod cleanup;
mod noted;
mod statements;

use std::{fmt, sync::Arc, time::Duration};

use sap_comm_core::{Timestamp, config::ConfigError};

pub use cleanup::CleanupHandle;

use self::{noted::noted, statements::Statements};
use crate::{
    sql::{Session, SqlConnection, SqlError, SqlPool},
    topology::check_name,
};

/// The events that a consumer group has taken. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    pool: SqlPool,
    group: Arc<str>,
}

impl Inbox {
    /// The inbox of `group` in the database of `pool`: `AnyPool`, `SqlitePool` or `PgPool`.
    pub fn new(pool: impl Into<SqlPool>, group: &str) -> Self {
        Self { pool: pool.into(), group: group.into() }
    }

    /// Makes the table `sap_inbox` where it is missing.
    ///
    /// # Errors
    /// When the database refuses or is not supported.
    pub async fn migrate(&self) -> Result<(), SqlError> {
        let statements = Statements::of(self.pool.dialect()?);
        self.pool.migrate(statements.lock_schema.as_ref(), &statements.schema).await
    }

    /// Notes an event within the caller's transaction: `true` the first time, `false` when it was taken before.
    ///
    /// On `true`, do what the event asks for in the same transaction and commit; a rollback forgets the event. While
    /// another transaction takes the same event, this waits for it.
    ///
    /// # Errors
    /// When the database refuses; then the event should be tried again.
    pub async fn once<C: SqlConnection + ?Sized>(&self, connection: &mut C, event_id: &str) -> Result<bool, SqlError> {
        let statements = Statements::of(Session::dialect(connection)?);
        let values =
            vec![(&*self.group).into(), (&*noted(&self.group, event_id)).into(), Timestamp::now().as_millis().into()];
        let noted = connection.run(&statements.note, values).await;
        noted.map(|rows| rows > 0).map_err(SqlError::doing("note an event in the inbox"))
    }

    /// Forgets events that were taken longer than `age` ago; how many.
    ///
    /// An event that is delivered again after that has its effect again: keep them longer than any redelivery takes.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn forget(&self, age: Duration) -> Result<u64, SqlError> {
        let statements = Statements::of(self.pool.dialect()?);
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::now().as_millis().saturating_sub(age);
        let mut forgotten = 0;
        loop {
            let values = vec![(&*self.group).into(), before.into()];
            let some = async { self.pool.acquire().await?.run(&statements.forget, values).await };
            match some.await.map_err(SqlError::doing("clean the inbox"))? {
                0 => return Ok(forgotten),
                rows => forgotten += rows,
            }
        }
    }

    /// Forgets events of this age from now on, until the handle is dropped.
    ///
    /// # Errors
    /// When `age` is zero or the group is no valid name.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn cleanup(&self, age: Duration) -> Result<CleanupHandle, ConfigError> {
        check_name("group", &self.group).map_err(|error| ConfigError::new("group", error))?;
        if age.is_zero() {
            return Err(ConfigError::new("age", "0s must be longer than zero"));
        }
        Ok(CleanupHandle::start(self.clone(), age))
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("group", &self.group).finish_non_exhaustive()
    }
}
