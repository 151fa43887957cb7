use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, Transaction, pool::PoolConnection};

use super::{Dialect, SqlError};

/// A connection or an open transaction of sqlx, on SQLite or PostgreSQL; pass it as `&mut tx` or `&mut *tx`.
///
/// Implemented for `AnyConnection`, `SqliteConnection` and `PgConnection`, and for their pooled connections and
/// transactions. Nobody else can implement it.
pub trait SqlConnection: Session {}

impl<T: Session + ?Sized> SqlConnection for T {}

/// A value that goes into a statement or comes out of it.
#[derive(Debug, Clone)]
pub enum Value {
    Int(Option<i64>),
    Text(Option<String>),
}

/// The type of a column.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Int,
    Text,
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

/// What statements are run on.
pub trait Session: Send {
    fn dialect(&self) -> Result<Dialect, SqlError>;

    /// Runs a statement; how many rows it touched.
    fn run<'a>(&'a mut self, sql: &Arc<str>, values: Vec<Value>) -> BoxFuture<'a, sqlx::Result<u64>>;

    /// Runs a statement that answers with rows of these columns.
    fn fetch<'a>(
        &'a mut self,
        sql: &Arc<str>,
        values: Vec<Value>,
        columns: &'a [Kind],
    ) -> BoxFuture<'a, sqlx::Result<Vec<Vec<Value>>>>;
}

/// A transaction that ends in the pool it came from.
pub(super) trait Commit: Session {
    fn commit(self: Box<Self>) -> BoxFuture<'static, sqlx::Result<()>>;
}

macro_rules! session {
    ($database:ty, $connection:ty, $dialect:expr) => {
        impl Session for $connection {
            fn dialect(&self) -> Result<Dialect, SqlError> {
                let dialect: fn(&Self) -> Result<Dialect, SqlError> = $dialect;
                dialect(self)
            }

            fn run<'a>(&'a mut self, sql: &Arc<str>, values: Vec<Value>) -> BoxFuture<'a, sqlx::Result<u64>> {
                let mut query = sqlx::query::<$database>(AssertSqlSafe(Arc::clone(sql)));
                for value in values {
                    query = match value {
                        Value::Int(number) => query.bind(number),
                        Value::Text(text) => query.bind(text),
                    };
                }
                Box::pin(async move { Ok(query.execute(self).await?.rows_affected()) })
            }

            fn fetch<'a>(
                &'a mut self,
                sql: &Arc<str>,
                values: Vec<Value>,
                columns: &'a [Kind],
            ) -> BoxFuture<'a, sqlx::Result<Vec<Vec<Value>>>> {
                let mut query = sqlx::query::<$database>(AssertSqlSafe(Arc::clone(sql)));
                for value in values {
                    query = match value {
                        Value::Int(number) => query.bind(number),
                        Value::Text(text) => query.bind(text),
                    };
                }
                Box::pin(async move {
                    let rows = query.fetch_all(self).await?;
                    let value = |row, place, kind: &Kind| -> sqlx::Result<Value> {
                        let row: &<$database as sqlx::Database>::Row = row;
                        Ok(match kind {
                            Kind::Int => Value::Int(row.try_get(place)?),
                            Kind::Text => Value::Text(row.try_get(place)?),
                        })
                    };
                    let read = |row| columns.iter().enumerate().map(|(place, kind)| value(row, place, kind)).collect();
                    rows.iter().map(read).collect()
                })
            }
        }

        session!(through PoolConnection<$database>);
        session!(through Transaction<'_, $database>);

        impl Commit for Transaction<'static, $database> {
            fn commit(self: Box<Self>) -> BoxFuture<'static, sqlx::Result<()>> {
                Box::pin(Transaction::commit(*self))
            }
        }
    };
    (through $wrapper:ty) => {
        impl Session for $wrapper {
            fn dialect(&self) -> Result<Dialect, SqlError> {
                (**self).dialect()
            }

            fn run<'a>(&'a mut self, sql: &Arc<str>, values: Vec<Value>) -> BoxFuture<'a, sqlx::Result<u64>> {
                (**self).run(sql, values)
            }

            fn fetch<'a>(
                &'a mut self,
                sql: &Arc<str>,
                values: Vec<Value>,
                columns: &'a [Kind],
            ) -> BoxFuture<'a, sqlx::Result<Vec<Vec<Value>>>> {
                (**self).fetch(sql, values, columns)
            }
        }
    };
}

session!(Any, AnyConnection, |connection| Dialect::of(connection.backend_name()));
#[cfg(feature = "sqlite")]
session!(sqlx::Sqlite, sqlx::SqliteConnection, |_| Ok(Dialect::Sqlite));
#[cfg(feature = "postgres")]
session!(sqlx::Postgres, sqlx::PgConnection, |_| Ok(Dialect::Postgres));
