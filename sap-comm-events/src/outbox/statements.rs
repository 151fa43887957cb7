use std::sync::{Arc, LazyLock};

use crate::sql::Dialect;

/// The statements of one dialect.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) schema: Vec<Arc<str>>,
    pub(super) insert: Arc<str>,
    pub(super) lock_schema: Option<Arc<str>>,
    pub(super) lock_claims: Option<Arc<str>>,
    pub(super) look: Arc<str>,
    pub(super) claim: Arc<str>,
    pub(super) renew: Arc<str>,
    pub(super) release: Arc<str>,
    pub(super) sent: Arc<str>,
    pub(super) remove: Arc<str>,
    pub(super) postpone: Arc<str>,
    pub(super) clean: Arc<str>,
    pub(super) pending: Arc<str>,
    pub(super) failing: Arc<str>,
    pub(super) discard: Arc<str>,
}

/// Times are milliseconds since the Unix epoch. A row waits while `sent_at` is null; it is claimed until `lease_until`,
/// and not tried before `due_at`.
const SCHEMA: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS sap_outbox (
        number {serial},
        event_id TEXT NOT NULL,
        exchange TEXT NOT NULL,
        kind TEXT NOT NULL,
        ordering_key TEXT,
        event TEXT NOT NULL,
        context TEXT NOT NULL,
        written_at BIGINT NOT NULL,
        due_at BIGINT NOT NULL DEFAULT 0,
        attempts BIGINT NOT NULL DEFAULT 0,
        last_error TEXT,
        lease_owner TEXT,
        lease_until BIGINT NOT NULL DEFAULT 0,
        sent_at BIGINT
    )",
    "CREATE INDEX IF NOT EXISTS sap_outbox_waiting ON sap_outbox (number) WHERE sent_at IS NULL",
    "CREATE INDEX IF NOT EXISTS sap_outbox_keys ON sap_outbox (ordering_key, number) WHERE sent_at IS NULL",
    "CREATE INDEX IF NOT EXISTS sap_outbox_sent ON sap_outbox (sent_at) WHERE sent_at IS NOT NULL",
];

const INSERT: &str = "INSERT INTO sap_outbox (event_id, exchange, kind, ordering_key, event, context, written_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const LOOK: &str = "SELECT CAST(CASE WHEN EXISTS (
        SELECT 1 FROM sap_outbox WHERE sent_at IS NULL AND due_at <= {now} AND lease_until <= {now}
    ) THEN 1 ELSE 0 END AS BIGINT)";

/// The oldest rows that are free. A row with a key is not while an earlier one of its key is claimed or postponed, so
/// that what is claimed of a key is always its beginning: of the rows found, the first that hold no more than `$4` bytes together,
/// and the very first whatever it holds. Claims must not run at once, or each would take the other's
/// rows for free.
const CLAIM: &str = "UPDATE sap_outbox SET lease_owner = $1, lease_until = {now} + $2
    WHERE number IN (
        SELECT number FROM (
            SELECT number, SUM(bytes) OVER (ORDER BY number) AS total, ROW_NUMBER() OVER (ORDER BY number) AS place
            FROM (
                SELECT free.number, octet_length(event) AS bytes FROM sap_outbox AS free
                WHERE free.sent_at IS NULL AND free.due_at <= {now} AND free.lease_until <= {now}
                AND (free.ordering_key IS NULL OR NOT EXISTS (
                    SELECT 1 FROM sap_outbox AS ahead
                    WHERE ahead.ordering_key = free.ordering_key AND ahead.sent_at IS NULL AND ahead.number < free.number
                    AND (ahead.due_at > {now} OR ahead.lease_until > {now})
                ))
                ORDER BY free.number LIMIT $3
            ) AS oldest
        ) AS counted WHERE total <= $4 OR place = 1
    )
    RETURNING number, exchange, kind, ordering_key, event, context, attempts";

const RENEW: &str = "UPDATE sap_outbox SET lease_until = {now} + $2
    WHERE lease_owner = $1 AND sent_at IS NULL AND lease_until > {now}";

const RELEASE: &str =
    "UPDATE sap_outbox SET lease_owner = NULL, lease_until = 0 WHERE lease_owner = $1 AND sent_at IS NULL";

const SENT: &str = "UPDATE sap_outbox SET sent_at = {now}, lease_owner = NULL, lease_until = 0
    WHERE number IN {list} AND sent_at IS NULL";

const REMOVE: &str = "DELETE FROM sap_outbox WHERE number IN {list}";

const POSTPONE: &str = "UPDATE sap_outbox
    SET attempts = attempts + $5, last_error = $3, due_at = {now} + $4, lease_owner = NULL, lease_until = 0
    WHERE number = $1 AND lease_owner = $2 AND sent_at IS NULL";

const CLEAN: &str = "DELETE FROM sap_outbox WHERE number IN (
        SELECT number FROM sap_outbox WHERE sent_at IS NOT NULL AND sent_at < {now} - $1 LIMIT 1000
    )";

const PENDING: &str = "SELECT COUNT(*) FROM sap_outbox WHERE sent_at IS NULL";

const FAILING: &str = "SELECT number, event_id, exchange, ordering_key, attempts, last_error, written_at
    FROM sap_outbox WHERE sent_at IS NULL AND attempts > 0 ORDER BY number LIMIT $1";

const DISCARD: &str = "UPDATE sap_outbox SET sent_at = {now}, lease_owner = NULL, lease_until = 0
    WHERE number = $1 AND sent_at IS NULL";

/// `CREATE … IF NOT EXISTS` by two at once is an error in PostgreSQL.
const LOCK_SCHEMA: &str =
    "SELECT CAST(pg_advisory_xact_lock(hashtext(current_schema() || '.sap_outbox.schema')) AS TEXT)";

const LOCK_CLAIMS: &str = "SELECT CAST(CASE
        WHEN pg_try_advisory_xact_lock(hashtext(current_schema() || '.sap_outbox.claims')) THEN 1 ELSE 0
    END AS BIGINT)";

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
        let fill = |template: &str| Arc::<str>::from(dialect.fill(template));
        // SQLite's writers wait for each other anyway.
        let lock = |template: &str| (dialect == Dialect::Postgres).then(|| fill(template));
        Self {
            schema: SCHEMA.iter().copied().map(fill).collect(),
            insert: fill(INSERT),
            lock_schema: lock(LOCK_SCHEMA),
            lock_claims: lock(LOCK_CLAIMS),
            look: fill(LOOK),
            claim: fill(CLAIM),
            renew: fill(RENEW),
            release: fill(RELEASE),
            sent: fill(SENT),
            remove: fill(REMOVE),
            postpone: fill(POSTPONE),
            clean: fill(CLEAN),
            pending: fill(PENDING),
            failing: fill(FAILING),
            discard: fill(DISCARD),
        }
    }
}
