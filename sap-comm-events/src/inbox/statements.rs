use std::sync::{Arc, LazyLock};

use crate::sql::Dialect;

/// The statements of one dialect.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) schema: Vec<Arc<str>>,
    pub(super) lock_schema: Option<Arc<str>>,
    pub(super) note: Arc<str>,
    pub(super) forget: Arc<str>,
}

/// `taken_at` is in milliseconds since the Unix epoch.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS sap_inbox (
        consumer_group TEXT NOT NULL,
        event_id TEXT NOT NULL,
        taken_at BIGINT NOT NULL,
        PRIMARY KEY (consumer_group, event_id)
    )",
    "CREATE INDEX IF NOT EXISTS sap_inbox_age ON sap_inbox (consumer_group, taken_at)",
];

const NOTE: &str =
    "INSERT INTO sap_inbox (consumer_group, event_id, taken_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const FORGET: &str = "DELETE FROM sap_inbox WHERE consumer_group = $1 AND event_id IN (
        SELECT event_id FROM sap_inbox WHERE consumer_group = $1 AND taken_at < $2 LIMIT 1000
    )";

/// `CREATE … IF NOT EXISTS` by two at once is an error in PostgreSQL.
const LOCK_SCHEMA: &str =
    "SELECT CAST(pg_advisory_xact_lock(hashtext(current_schema() || '.sap_inbox.schema')) AS TEXT)";

static SQLITE: LazyLock<Statements> = LazyLock::new(|| Statements::new(Dialect::Sqlite));
static POSTGRES: LazyLock<Statements> = LazyLock::new(|| Statements::new(Dialect::Postgres));

impl Statements {
    pub(super) fn of(dialect: Dialect) -> &'static Self {
        match dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        }
    }

    fn new(dialect: Dialect) -> Self {
        Self {
            schema: SCHEMA.iter().copied().map(Arc::from).collect(),
            lock_schema: (dialect == Dialect::Postgres).then(|| LOCK_SCHEMA.into()),
            note: NOTE.into(),
            forget: FORGET.into(),
        }
    }
}
