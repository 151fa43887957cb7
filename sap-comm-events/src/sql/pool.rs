use std::{io, sync::Arc};

use sqlx::AnyPool;

use super::{Dialect, Session, SqlError, connection::Commit};

/// A pool of sqlx: `AnyPool`, `SqlitePool` or `PgPool`.
#[derive(Debug, Clone)]
pub struct SqlPool(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Any(AnyPool),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

impl From<AnyPool> for SqlPool {
    fn from(pool: AnyPool) -> Self {
        Self(Inner::Any(pool))
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::SqlitePool> for SqlPool {
    fn from(pool: sqlx::SqlitePool) -> Self {
        Self(Inner::Sqlite(pool))
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::PgPool> for SqlPool {
    fn from(pool: sqlx::PgPool) -> Self {
        Self(Inner::Postgres(pool))
    }
}

impl SqlPool {
    pub(crate) fn dialect(&self) -> Result<Dialect, SqlError> {
        match &self.0 {
            Inner::Any(pool) => Dialect::of(pool.connect_options().database_url.scheme()),
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Ok(Dialect::Sqlite),
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Ok(Dialect::Postgres),
        }
    }

    pub(crate) async fn acquire(&self) -> sqlx::Result<Box<dyn Session>> {
        Ok(match &self.0 {
            Inner::Any(pool) => Box::new(pool.acquire().await?),
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(pool) => Box::new(pool.acquire().await?),
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => Box::new(pool.acquire().await?),
        })
    }

    /// Runs statements that do nothing the second time, behind a lock where two at once would clash.
    pub(crate) async fn migrate(&self, lock: Option<&Arc<str>>, schema: &[Arc<str>]) -> Result<(), SqlError> {
        let dialect = self.dialect()?;
        let migrate = async {
            let mut transaction = self.begin(dialect).await?;
            if let Some(lock) = lock {
                transaction.session().fetch(lock, Vec::new(), &[]).await?;
            }
            for statement in schema {
                transaction.session().run(statement, Vec::new()).await?;
            }
            transaction.commit().await
        };
        migrate.await.map_err(SqlError::doing("make the tables of outbox and inbox"))
    }

    /// Begins a transaction that writes.
    ///
    /// In a task, which goes on where the caller gives up: sqlx puts a connection back into its pool although its `BEGIN` was sent
    /// and not answered, and what came over it next would be in a transaction that nobody ends.
    pub(crate) async fn begin(&self, dialect: Dialect) -> sqlx::Result<OwnTransaction> {
        let pool = self.0.clone();
        let begun = tokio::spawn(async move {
            let begin = dialect.begin();
            let transaction: Box<dyn Commit> = match &pool {
                Inner::Any(pool) => Box::new(pool.begin_with(begin).await?),
                #[cfg(feature = "sqlite")]
                Inner::Sqlite(pool) => Box::new(pool.begin_with(begin).await?),
                #[cfg(feature = "postgres")]
                Inner::Postgres(pool) => Box::new(pool.begin_with(begin).await?),
            };
            Ok(OwnTransaction(transaction))
        });
        begun.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}

/// A transaction of ours; dropped, it rolls back.
pub(crate) struct OwnTransaction(Box<dyn Commit>);

impl OwnTransaction {
    pub(crate) fn session(&mut self) -> &mut dyn Session {
        &mut *self.0
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        self.0.commit().await
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use futures_util::FutureExt;
    use sap_comm_testkit::Postgres;
    use sqlx::postgres::PgPoolOptions;

    use super::*;

    #[tokio::test]
    async fn whoever_gives_up_leaves_no_transaction_in_the_pool() {
        let server = Postgres::shared().await.unwrap();
        let url = server.new_database().await.unwrap();
        let pool = SqlPool::from(PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap());
        // An error where there is no transaction.
        let savepoint: Arc<str> = "SAVEPOINT within".into();
        for polls in 0..300 {
            let mut begin = Box::pin(pool.begin(Dialect::Postgres));
            for _ in 0..polls % 60 {
                if begin.as_mut().now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(begin);
            let within = pool.acquire().await.unwrap().run(&savepoint, Vec::new()).await;
            assert!(within.is_err(), "a connection of the pool is within a transaction, after {polls} polls");
        }
    }
}
