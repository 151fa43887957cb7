use std::time::Duration;

use sap_comm_core::{BoxError, DecodeError, Name};

/// Why an outbox or an inbox failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The database refused, or cannot be reached.
    #[error("cannot {doing}: {source}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        source: BoxError,
    },
    /// The database is neither SQLite nor PostgreSQL.
    #[error("database {name:?} is not supported: expected SQLite or PostgreSQL")]
    Unsupported {
        /// What it is.
        name: String,
    },
    /// The event cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] DecodeError),
    /// The event could never be published: its exchange or its type is no valid name.
    #[error("event cannot be published: {reason}")]
    Unpublishable {
        /// What is wrong with it.
        reason: String,
    },
    /// The event's JSON is over the limit.
    #[error("event {id:?} has {size} bytes; the limit is {limit}")]
    TooLarge {
        /// The event's id.
        id: Name,
        /// Its size as JSON.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// It took too long, and was broken off.
    #[error("cannot {doing} within {limit:?}")]
    Timeout {
        /// What was tried.
        doing: &'static str,
        /// How long it might take.
        limit: Duration,
    },
    /// A task of ours ended on its own.
    #[error("cannot {doing}: the task ended on its own")]
    Task {
        /// What was tried.
        doing: &'static str,
    },
}

impl SqlError {
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { doing, source: source.into() }
    }
}
