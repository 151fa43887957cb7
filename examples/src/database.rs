//! Each service's own database: a SQLite file or a PostgreSQL schema.

use std::{fmt, path::PathBuf, str::FromStr};

use sap_comm::{ApiError, ErrorCode};
use sqlx::{
    Any, AnyPool, Executor, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
};

/// Where the databases are: `sqlite://DIRECTORY` or `postgres://…/DATABASE`.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A directory with one file a service.
    Sqlite(PathBuf),
    /// A database with one schema a service.
    Postgres(url::Url),
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The text is not such an address.
    #[error("database {text:?}: expected sqlite://DIRECTORY or postgres://USER@HOST/DATABASE")]
    Url {
        /// The text, without a password.
        text: String,
    },
    /// The directory of the files cannot be made.
    #[error("database directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The database refuses or cannot be reached.
    #[error("database of {service}: {source}")]
    Connect {
        /// Whose database.
        service: String,
        /// Why not.
        source: sqlx::Error,
    },
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("sqlite://").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(path.into()));
        }
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") && url.has_host() => Ok(Self::Postgres(url)),
            _ => Err(DatabaseError::Url { text: without_password(text) }),
        }
    }
}

impl DatabaseUrl {
    /// The address with its password, for a program that will connect.
    #[must_use]
    pub fn expose(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => url.to_string(),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            // The query may hold a password too.
            Self::Postgres(url) => {
                write!(f, "postgres://{}{}", url.host_str().unwrap_or_default(), url.path())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// The address may hold a password: nothing before the `@` is repeated.
fn without_password(text: &str) -> String {
    // Parameters may be secrets, too.
    let text = text.split('?').next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

/// A service's pool of connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: AnyPool,
    begin: &'static str,
}

impl Database {
    /// Opens the database of `service`, and makes its tables with `schema`: statements that do nothing the second time.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses the statements.
    pub async fn open(url: &DatabaseUrl, service: &str, schema: &'static str) -> Result<Self, DatabaseError> {
        install_default_drivers();
        let fail = |source| DatabaseError::Connect { service: service.to_owned(), source };
        let (address, session, begin) = match url {
            DatabaseUrl::Sqlite(directory) => {
                std::fs::create_dir_all(directory)
                    .map_err(|source| DatabaseError::Directory { path: directory.clone(), source })?;
                let path = directory.join(format!("{service}.db"));
                let session = "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;";
                // A transaction that begins as a reader cannot always become a writer.
                (format!("sqlite://{}?mode=rwc", path.display()), session.to_owned(), "BEGIN IMMEDIATE")
            }
            DatabaseUrl::Postgres(url) => {
                (url.to_string(), format!("SET search_path TO {};", service.replace('-', "_")), "BEGIN")
            }
        };
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(async move { connection.execute(sqlx::AssertSqlSafe(session)).await.map(drop) })
            })
            .connect(&address)
            .await
            .map_err(fail)?;
        let database = Self { pool, begin };
        database.migrate(url, service, schema).await.map_err(fail)?;
        Ok(database)
    }

    async fn migrate(&self, url: &DatabaseUrl, service: &str, schema: &'static str) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        if let DatabaseUrl::Postgres(_) = url {
            let name = service.replace('-', "_");
            // `CREATE … IF NOT EXISTS` by two instances at once is an error in PostgreSQL.
            let create = format!(
                "SELECT CAST(pg_advisory_xact_lock(hashtext('{name}.schema')) AS TEXT); CREATE SCHEMA IF NOT EXISTS {name};"
            );
            tx.execute(sqlx::AssertSqlSafe(create)).await?;
        }
        tx.execute(schema).await?;
        tx.commit().await
    }

    /// The pool, for reads.
    #[must_use]
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.pool.begin_with(self.begin).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check(&self) -> Result<(), sqlx::Error> {
        self.pool.execute("SELECT 1").await.map(drop)
    }

    /// Ends the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// PostgreSQL's code for text that it cannot hold, which is NUL alone where all text is UTF-8.
const UNTRANSLATABLE: &str = "22021";

/// The answer to a caller whose request met an error of the database.
pub fn internal(error: sqlx::Error) -> ApiError {
    if error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(UNTRANSLATABLE) {
        return ApiError::new(ErrorCode::INVALID_ARGUMENT, "Text must not hold NUL").caused_by(error);
    }
    ApiError::internal(error)
}

/// Whether a statement broke a `UNIQUE` constraint.
#[must_use]
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// A value as a column of JSON text.
pub(crate) fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A value from a column of JSON text.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in ["postgres://me:hunter2@localhost/panel", "postgres://me@localhost/panel?password=hunter2"] {
            let url: DatabaseUrl = text.parse().unwrap();
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("hunter2") && shown.contains("localhost/panel"), "{shown}");
            assert_eq!(url.expose(), text);
        }
    }
}
