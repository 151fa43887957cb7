#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use sap_comm::{
    Timestamp,
    auth::{ApiKeyError, ApiKeyRecord, ApiKeyStore},
};
use sqlx::{AnyPool, AssertSqlSafe, Row, any::AnyRow};

use crate::{
    contract::events::UserUpdated,
    contract::rest::is_reserved,
    database::{Database, from_json, to_json},
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS credentials (
        user_id TEXT PRIMARY KEY,
        email TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        roles TEXT NOT NULL,
        status TEXT NOT NULL,
        version BIGINT NOT NULL,
        created_at BIGINT NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS credentials_of_address ON credentials (email) WHERE status = 'active';
    DROP TABLE IF EXISTS refresh_tokens;
    CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        token_hash TEXT NOT NULL,
        expires_at BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS signing_keys (id BIGINT PRIMARY KEY, pkcs8 TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS service_keys (
        prefix TEXT PRIMARY KEY,
        hash TEXT NOT NULL,
        owner TEXT NOT NULL,
        scopes TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        revoked_at BIGINT
    );
";

/// How a user logs in.
pub(super) struct StoredCredentials {
    pub(super) user_id: String,
    pub(super) password_hash: String,
    pub(super) roles: Vec<String>,
}

/// What is kept of a refresh token.
pub(super) struct StoredRefresh {
    pub(super) session: String,
    pub(super) hash: String,
    pub(super) expires_at: Timestamp,
}

/// How long credentials wait for their user: longer than `user.created` can be under way.
const PENDING: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Clone)]
pub(super) struct Store(pub(super) Database);

impl Store {
    fn pool(&self) -> &AnyPool {
        self.0.pool()
    }

    pub(super) async fn find_by_email(&self, email: &str) -> Result<Option<StoredCredentials>, sqlx::Error> {
        self.find("SELECT user_id, password_hash, roles FROM credentials WHERE email = $1 AND status = 'active'", email)
            .await
    }

    pub(super) async fn find_by_session(&self, session: &str) -> Result<Option<StoredCredentials>, sqlx::Error> {
        self.find(
            "SELECT credentials.user_id, password_hash, roles FROM credentials
             JOIN sessions ON sessions.user_id = credentials.user_id WHERE sessions.id = $1 AND status = 'active'",
            session,
        )
        .await
    }

    async fn find(&self, sql: &'static str, key: &str) -> Result<Option<StoredCredentials>, sqlx::Error> {
        let row = sqlx::query(sql).bind(key).fetch_optional(self.pool()).await?;
        row.map(|row| {
            Ok(StoredCredentials {
                user_id: row.try_get(0)?,
                password_hash: row.try_get(1)?,
                roles: from_json(&row.try_get::<String, _>(2)?)?,
            })
        })
        .transpose()
    }

    /// Keeps how a user will log in once activated. Several may wait with one address, and only one becomes a user.
    pub(super) async fn prepare(
        &self,
        user_id: &str,
        email: &str,
        hash: &str,
        roles: &[String],
    ) -> Result<(), sqlx::Error> {
        let now = Timestamp::now();
        let mut tx = self.0.begin().await?;
        sqlx::query("DELETE FROM credentials WHERE status = 'pending' AND created_at < $1")
            .bind(now.as_millis().saturating_sub(i64::try_from(PENDING.as_millis()).unwrap_or(i64::MAX)))
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO credentials (user_id, email, password_hash, roles, status, version, created_at)
             VALUES ($1, $2, $3, $4, 'pending', 1, $5)
             ON CONFLICT (user_id) DO UPDATE SET email = $2, password_hash = $3, roles = $4
             WHERE credentials.status = 'pending'",
        )
        .bind(user_id)
        .bind(email)
        .bind(hash)
        .bind(to_json(roles)?)
        .bind(now.as_millis())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Lets a user log in from now on; `false` when nothing was prepared, or it was forgotten.
    pub(super) async fn activate(&self, user_id: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE credentials SET status = 'active' WHERE user_id = $1")
            .bind(user_id)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Follows a change of the user, unless a later one came first.
    pub(super) async fn update(&self, change: &UserUpdated) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE credentials SET email = $2, roles = $3, version = $4 WHERE user_id = $1 AND version < $4",
        )
        .bind(&change.user_id)
        .bind(&change.email)
        .bind(to_json(&change.roles)?)
        .bind(change.version)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets how a user logs in, and ends what is logged in.
    pub(super) async fn delete(&self, user_id: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.0.begin().await?;
        for sql in ["DELETE FROM sessions WHERE user_id = $1", "DELETE FROM credentials WHERE user_id = $1"] {
            sqlx::query(sql).bind(user_id).execute(&mut *tx).await?;
        }
        tx.commit().await
    }

    /// Begins a session with its first refresh token, and forgets those that have expired.
    pub(super) async fn begin_session(&self, user_id: &str, refresh: &StoredRefresh) -> Result<(), sqlx::Error> {
        let mut tx = self.0.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(Timestamp::now().as_millis())
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO sessions (id, user_id, token_hash, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(&refresh.session)
            .bind(user_id)
            .bind(&refresh.hash)
            .bind(refresh.expires_at.as_millis())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Puts the next refresh token of a session in the place of the one that is `used`; `false` when that is not its
    /// token, or has expired.
    pub(super) async fn rotate(&self, used: &str, next: &StoredRefresh) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE sessions SET token_hash = $3, expires_at = $4
             WHERE id = $1 AND token_hash = $2 AND expires_at > $5",
        )
        .bind(&next.session)
        .bind(used)
        .bind(&next.hash)
        .bind(next.expires_at.as_millis())
        .bind(Timestamp::now().as_millis())
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a session; `false` when there is none.
    pub(super) async fn end_session(&self, session: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("DELETE FROM sessions WHERE id = $1").bind(session).execute(self.pool()).await?;
        Ok(done.rows_affected() == 1)
    }

    /// How many API keys were made and not taken back.
    pub(super) async fn live_api_keys(&self) -> Result<usize, sqlx::Error> {
        let sql = "SELECT COUNT(*) FROM service_keys WHERE revoked_at IS NULL";
        let count: i64 = sqlx::query(sql).fetch_one(self.pool()).await?.try_get(0)?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// The signing key, kept so that tokens outlive a restart; `candidate` if there is none yet.
    pub(super) async fn signing_key(&self, candidate: &str) -> Result<String, sqlx::Error> {
        sqlx::query("INSERT INTO signing_keys (id, pkcs8) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(candidate)
            .execute(self.pool())
            .await?;
        sqlx::query("SELECT pkcs8 FROM signing_keys WHERE id = 1").fetch_one(self.pool()).await?.try_get(0)
    }
}

/// The columns of a key's record.
const KEY: &str = "prefix, hash, owner, scopes, created_at, revoked_at";

#[async_trait]
impl ApiKeyStore for Store {
    async fn insert(&self, record: &ApiKeyRecord) -> Result<(), ApiKeyError> {
        sqlx::query(
            "INSERT INTO service_keys (prefix, hash, owner, scopes, created_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&record.prefix)
        .bind(&record.hash)
        .bind(&record.owner)
        .bind(to_json(&record.scopes).map_err(ApiKeyError::store)?)
        .bind(record.created_at.as_millis())
        .bind(record.revoked_at.map(Timestamp::as_millis))
        .execute(self.pool())
        .await
        .map(drop)
        .map_err(ApiKeyError::store)
    }

    async fn revoke(&self, prefix: &str, at: Timestamp) -> Result<Option<ApiKeyRecord>, ApiKeyError> {
        let sql =
            format!("UPDATE service_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE prefix = $1 RETURNING {KEY}");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(prefix)
            .bind(at.as_millis())
            .fetch_optional(self.pool())
            .await
            .map_err(ApiKeyError::store)?;
        row.map(|row| api_key(&row)).transpose().map_err(ApiKeyError::store)
    }

    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        let sql = format!("SELECT {KEY} FROM service_keys ORDER BY created_at, prefix");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(self.pool()).await.map_err(ApiKeyError::store)?;
        rows.iter().map(api_key).collect::<Result<_, _>>().map_err(ApiKeyError::store)
    }
}

/// A record, without scopes that no key of this table may have.
fn api_key(row: &AnyRow) -> Result<ApiKeyRecord, sqlx::Error> {
    let mut scopes: Vec<String> = from_json(&row.try_get::<String, _>(3)?)?;
    scopes.retain(|scope| !is_reserved(scope));
    Ok(ApiKeyRecord {
        prefix: row.try_get(0)?,
        hash: row.try_get(1)?,
        owner: row.try_get(2)?,
        scopes,
        created_at: Timestamp::from_millis(row.try_get(4)?),
        revoked_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp::from_millis),
    })
}
