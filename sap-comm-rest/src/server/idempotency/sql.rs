use std::{fmt, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use sap_comm_core::{BoxError, config::ConfigError, id};
use sqlx::{AnyPool, AssertSqlSafe, Row};

use super::{Claim, IdempotencyStore, KeptAnswer};

/// Keeps idempotency keys in a SQLite or PostgreSQL database, for all instances of a service.
///
/// Leases and ages are measured by the database's clock, which the instances share. Keys that are over are deleted as new
/// ones come.
#[derive(Clone)]
pub struct SqlIdempotencyStore {
    pool: AnyPool,
    dialect: Dialect,
}

/// Where the two databases differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

/// Times are in milliseconds since the Unix epoch.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS sap_idempotency (
        idempotency_key TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        claim TEXT NOT NULL,
        answer TEXT,
        ends_at BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS sap_idempotency_end ON sap_idempotency (ends_at)",
];

/// `CREATE … IF NOT EXISTS` by two at once is an error in PostgreSQL.
const LOCK_SCHEMA: &str =
    "SELECT CAST(pg_advisory_xact_lock(hashtext(current_schema() || '.sap_idempotency.schema')) AS TEXT)";

const CLEAN: &str = "DELETE FROM sap_idempotency WHERE idempotency_key IN (
        SELECT idempotency_key FROM sap_idempotency WHERE ends_at <= {now} LIMIT 10
    )";

/// A key that is over is taken over in the same statement: of several who want it, one gets it.
const CLAIM: &str = "INSERT INTO sap_idempotency (idempotency_key, fingerprint, claim, answer, ends_at)
    VALUES ($1, $2, $3, NULL, {now} + $4)
    ON CONFLICT (idempotency_key) DO UPDATE SET fingerprint = $2, claim = $3, answer = NULL, ends_at = {now} + $4
    WHERE sap_idempotency.ends_at <= {now}";

const FIND: &str =
    "SELECT fingerprint, COALESCE(answer, ''), ends_at - {now} FROM sap_idempotency WHERE idempotency_key = $1";

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
        Ok(Self { pool, dialect })
    }

    /// Makes the table `sap_idempotency` where it is missing.
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
        for statement in SCHEMA {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    fn fill(&self, template: &str) -> AssertSqlSafe<String> {
        let now = match self.dialect {
            Dialect::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
            Dialect::Postgres => "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
        };
        AssertSqlSafe(template.replace("{now}", now))
    }

    async fn find(&self, key: &str) -> Result<Option<(String, String, i64)>, BoxError> {
        let row = sqlx::query(self.fill(FIND)).bind(key).fetch_optional(&self.pool).await?;
        Ok(match row {
            Some(row) => Some((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)),
            None => None,
        })
    }
}

#[async_trait]
impl IdempotencyStore for SqlIdempotencyStore {
    async fn claim(&self, key: &str, fingerprint: &str, _caller: &str, lease: Duration) -> Result<Claim, BoxError> {
        sqlx::query(self.fill(CLEAN)).execute(&self.pool).await?;
        let claim = id::prefixed("clm");
        // The key may be released or end between the two statements; then it is free.
        for _ in 0..3 {
            let taken = sqlx::query(self.fill(CLAIM))
                .bind(key)
                .bind(fingerprint)
                .bind(&claim)
                .bind(millis(lease))
                .execute(&self.pool)
                .await?;
            if taken.rows_affected() == 1 {
                return Ok(Claim::Taken(claim));
            }
            let Some((own, answer, left)) = self.find(key).await? else { continue };
            if own != fingerprint {
                return Ok(Claim::Reused);
            }
            if !answer.is_empty() {
                return Ok(Claim::Done(read(&answer)?));
            }
            return Ok(Claim::InProgress(Duration::from_millis(u64::try_from(left).unwrap_or(0))));
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

impl fmt::Debug for SqlIdempotencyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlIdempotencyStore").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}
