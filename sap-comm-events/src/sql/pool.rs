use std::sync::Arc;

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
    pub(crate) async fn begin(&self, dialect: Dialect) -> sqlx::Result<OwnTransaction> {
        let begin = dialect.begin();
        Ok(OwnTransaction(match &self.0 {
            Inner::Any(pool) => Box::new(pool.begin_with(begin).await?),
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(pool) => Box::new(pool.begin_with(begin).await?),
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => Box::new(pool.begin_with(begin).await?),
        }))
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
