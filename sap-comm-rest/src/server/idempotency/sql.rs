use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use sap_comm_core::{BoxError, config::ConfigError, id};
use sqlx::{AnyPool, AssertSqlSafe, Row};

use super::{Claim, IdempotencyStore, KeptAnswer};
use crate::options::check;

/// Keeps idempotency keys in a SQLite or PostgreSQL database, for all instances of a service.
///
/// Leases and ages are measured by the database's clock, which the instances share. Keys that are over are deleted as new
/// ones come. One caller has as many as there is room for, unless [`max_keys_per_caller`](Self::max_keys_per_caller) says how many.
#[derive(Clone)]
pub struct SqlIdempotencyStore {
    pool: AnyPool,
    dialect: Dialect,
    max_keys_per_caller: Option<usize>,
}

/// Where the two databases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// Times are in milliseconds since the Unix epoch.
const TABLE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS sap_idempotency (
        idempotency_key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        claim TEXT NOT NULL,
        answer TEXT,
        ends_at BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS sap_idempotency_end ON sap_idempotency (ends_at)",
];

/// What earlier tables do not have: the hash of the caller, of which an index takes any length.
const ADD_CALLER: &str = "ALTER TABLE sap_idempotency ADD COLUMN caller TEXT NOT NULL DEFAULT ''";
const INDEX_CALLER: &str = "CREATE INDEX IF NOT EXISTS sap_idempotency_caller ON sap_idempotency (caller, ends_at)";

/// `CREATE … IF NOT EXISTS` by two at once is an error in PostgreSQL.
const LOCK_SCHEMA: &str =
    "SELECT CAST(pg_advisory_xact_lock(hashtext(current_schema() || '.sap_idempotency.schema')) AS TEXT)";

const CLEAN: &str = "DELETE FROM sap_idempotency WHERE idempotency_key IN (
        SELECT idempotency_key FROM sap_idempotency WHERE ends_at <= {now} LIMIT 10
    )";

/// A key that is over is taken over in the same statement: of several who want it, one gets it. A caller with too many gets none.
const CLAIM: &str = "INSERT INTO sap_idempotency (idempotency_key, fingerprint, claim, answer, ends_at, caller)
    SELECT $1, $2, $3, NULL, {now} + $4, $5
    WHERE {room}
    ON CONFLICT (idempotency_key) DO UPDATE
    SET fingerprint = $2, claim = $3, answer = NULL, ends_at = {now} + $4, caller = $5
    WHERE sap_idempotency.ends_at <= {now}";

const FIND: &str = "SELECT fingerprint, COALESCE(answer, ''), ends_at - {now} FROM sap_idempotency
    WHERE idempotency_key = $1 AND ends_at > {now}";

const SHARE: &str = "SELECT COUNT(*), COALESCE(MIN(ends_at) - {now}, 0) FROM sap_idempotency
    WHERE caller = $1 AND ends_at > {now}";

const KEEP: &str = "UPDATE sap_idempotency SET answer = $3, ends_at = {now} + $4
    WHERE idempotency_key = $1 AND claim = $2 AND answer IS NULL";

const RELEASE: &str = "DELETE FROM sap_idempotency WHERE idempotency_key = $1 AND claim = $2 AND answer IS NULL";

impl SqlIdempotencyStore {
    /// A store in the database of `pool`.
    ///
    /// # Errors
    /// When it is neither SQLite nor PostgreSQL.
    pub fn new(pool: AnyPool) -> Result<Self, ConfigError> {
        let dialect = match pool.connect_options().database_url.scheme() {
            "sqlite" => Dialect::Sqlite,
            "postgres" | "postgresql" => Dialect::Postgres,
            other => return Err(ConfigError::refused("pool", other, "must be of SQLite or PostgreSQL")),
        };
        Ok(Self { pool, dialect, max_keys_per_caller: None })
    }

    /// Keeps at most so many keys of one caller, give or take those that come at the same moment; the caller then gets 429. Those
    /// without a principal count as one. Each new key costs a look at all of the caller's in the index: 1 ms where there are 10,000.
    ///
    /// # Errors
    /// When `max_keys` is 0.
    pub fn max_keys_per_caller(self, max_keys: usize) -> Result<Self, ConfigError> {
        check(max_keys > 0, "max_keys_per_caller", max_keys, "must be at least 1")?;
        Ok(Self { max_keys_per_caller: Some(max_keys), ..self })
    }

    /// Makes the table `sap_idempotency`, or what an older one lacks, where it is missing.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn migrate(&self) -> Result<(), BoxError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        let mut tx = self.pool.begin_with(begin).await?;
        if self.dialect == Dialect::Postgres {
            sqlx::query(LOCK_SCHEMA).execute(&mut *tx).await?;
        }
        for statement in TABLE {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        let columns: i64 = sqlx::query_scalar(self.dialect.count_caller()).fetch_one(&mut *tx).await?;
        if columns == 0 {
            sqlx::query(ADD_CALLER).execute(&mut *tx).await?;
        }
        sqlx::query(INDEX_CALLER).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    fn fill(&self, template: &str) -> AssertSqlSafe<String> {
        let now = match self.dialect {
            Dialect::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
            Dialect::Postgres => "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
        };
        let room = self.max_keys_per_caller.map_or("TRUE".to_owned(), |max_keys| {
            format!("(SELECT COUNT(*) FROM sap_idempotency WHERE caller = $5 AND ends_at > {{now}}) < {max_keys}")
        });
        AssertSqlSafe(template.replace("{room}", &room).replace("{now}", now))
    }

    async fn find(&self, key: &str) -> Result<Option<(String, String, i64)>, BoxError> {
        let row = sqlx::query(self.fill(FIND)).bind(key).fetch_optional(&self.pool).await?;
        Ok(match row {
            Some(row) => Some((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
            None => None,
        })
    }

    /// How many keys a caller may have, and until when it is to wait for another; `None` if it need not.
    async fn too_many(&self, caller: &str) -> Result<Option<Claim>, BoxError> {
        let Some(limit) = self.max_keys_per_caller else { return Ok(None) };
        let row = sqlx::query(self.fill(SHARE)).bind(caller).fetch_one(&self.pool).await?;
        let (count, left): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let is_over = usize::try_from(count).is_ok_and(|count| count >= limit);
        Ok(is_over.then(|| Claim::TooMany { limit, retry_after: duration(left) }))
    }
}

impl Dialect {
    /// How many columns there are for the caller.
    fn count_caller(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) FROM pragma_table_info('sap_idempotency') WHERE name = 'caller'",
            Self::Postgres => {
                "SELECT COUNT(*) FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = 'sap_idempotency' AND column_name = 'caller'"
            }
        }
    }
}

#[async_trait]
impl IdempotencyStore for SqlIdempotencyStore {
    async fn claim(&self, key: &str, fingerprint: &str, caller: &str, lease: Duration) -> Result<Claim, BoxError> {
        sqlx::query(self.fill(CLEAN)).execute(&self.pool).await?;
        let claim = id::prefixed("clm");
        let caller = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, caller.as_bytes()));
        // The key may be released or end between the two statements; then it is free.
        for _ in 0..3 {
            let taken = sqlx::query(self.fill(CLAIM))
                .bind(key)
                .bind(fingerprint)
                .bind(&claim)
                .bind(millis(lease))
                .bind(&caller)
                .execute(&self.pool)
                .await?;
            if taken.rows_affected() == 1 {
                return Ok(Claim::Taken(claim));
            }
            let Some((own, answer, left)) = self.find(key).await? else {
                match self.too_many(&caller).await? {
                    Some(refusal) => return Ok(refusal),
                    None => continue,
                }
            };
            if own != fingerprint {
                return Ok(Claim::Reused);
            }
            if !answer.is_empty() {
                return Ok(Claim::Done(read(&answer)?));
            }
            return Ok(Claim::InProgress(duration(left)));
        }
        Ok(Claim::InProgress(Duration::ZERO))
    }

    async fn keep(&self, key: &str, claim: &str, answer: &KeptAnswer, keep: Duration) -> Result<(), BoxError> {
        let answer = written(answer)?;
        let keep = millis(keep);
        sqlx::query(self.fill(KEEP)).bind(key).bind(claim).bind(answer).bind(keep).execute(&self.pool).await?;
        Ok(())
    }

    async fn release(&self, key: &str, claim: &str) -> Result<(), BoxError> {
        sqlx::query(self.fill(RELEASE)).bind(key).bind(claim).execute(&self.pool).await?;
        Ok(())
    }
}

/// An answer as text: a column of bytes has no type that both databases share.
fn written(answer: &KeptAnswer) -> Result<String, BoxError> {
    let body = answer.body.as_ref().map(|body| BASE64_STANDARD.encode(body));
    Ok(serde_json::to_string(&(answer.status, &answer.headers, body))?)
}

fn read(text: &str) -> Result<KeptAnswer, BoxError> {
    let (status, headers, body): (_, _, Option<String>) = serde_json::from_str(text)?;
    let body = body.map(|body| BASE64_STANDARD.decode(body)).transpose()?.map(Into::into);
    Ok(KeptAnswer { status, headers, body })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

impl fmt::Debug for SqlIdempotencyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlIdempotencyStore").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}
