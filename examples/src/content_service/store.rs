use sap_comm::{PageQuery, Timestamp, id};
use serde::{Deserialize, Serialize};
use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{
    contract::rest::{Content, CreateContent},
    database::{Database, from_json, to_json},
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS contents (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        status TEXT NOT NULL,
        audience TEXT NOT NULL,
        created_at BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS cursor_secrets (id BIGINT PRIMARY KEY, secret TEXT NOT NULL);
";

/// Where a page ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position {
    created_at: i64,
    id: String,
}

#[derive(Clone)]
pub(super) struct Store(pub(super) Database);

impl Store {
    pub(super) async fn create(&self, input: CreateContent) -> Result<Content, sqlx::Error> {
        let CreateContent { title, body, audience } = input;
        let created_at = Timestamp::now();
        let content = Content { id: id::prefixed("cnt"), title, body, status: "draft".into(), audience, created_at };
        sqlx::query(
            "INSERT INTO contents (id, title, body, status, audience, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&content.id)
        .bind(&content.title)
        .bind(&content.body)
        .bind(&content.status)
        .bind(to_json(&content.audience)?)
        .bind(created_at.as_millis())
        .execute(self.0.pool())
        .await?;
        Ok(content)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Content>, sqlx::Error> {
        let row = sqlx::query("SELECT id, title, body, status, audience, created_at FROM contents WHERE id = $1")
            .bind(id)
            .fetch_optional(self.0.pool())
            .await?;
        row.as_ref().map(content).transpose()
    }

    /// One page, newest first, and how many there are in all.
    pub(super) async fn list(&self, query: PageQuery) -> Result<(Vec<Content>, u64), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id, title, body, status, audience, created_at FROM contents
             ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2",
        )
        .bind(i64::from(query.limit))
        .bind(i64::try_from(query.offset()).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        let total: i64 = sqlx::query("SELECT COUNT(*) FROM contents").fetch_one(self.0.pool()).await?.try_get(0)?;
        Ok((rows.iter().map(content).collect::<Result<_, _>>()?, u64::try_from(total).unwrap_or(0)))
    }

    /// So many behind a position, newest first, and the position of the last one if there are more.
    pub(super) async fn list_after(
        &self,
        after: Option<Position>,
        limit: u32,
    ) -> Result<(Vec<Content>, Option<Position>), sqlx::Error> {
        let after = after.unwrap_or(Position { created_at: i64::MAX, id: String::new() });
        let rows = sqlx::query(
            "SELECT id, title, body, status, audience, created_at FROM contents
             WHERE created_at < $1 OR (created_at = $1 AND id < $2)
             ORDER BY created_at DESC, id DESC LIMIT $3",
        )
        .bind(after.created_at)
        .bind(after.id)
        // One more tells whether there are more.
        .bind(i64::from(limit) + 1)
        .fetch_all(self.0.pool())
        .await?;
        let mut contents = rows.iter().map(content).collect::<Result<Vec<_>, _>>()?;
        let more = contents.len() > limit as usize;
        contents.truncate(limit as usize);
        let last = contents.last().filter(|_| more);
        let position = |last: &Content| Position { created_at: last.created_at.as_millis(), id: last.id.clone() };
        let last = last.map(position);
        Ok((contents, last))
    }

    /// The secret that cursors are sealed with, kept so that they outlive a restart; `candidate` if there is none yet.
    pub(super) async fn cursor_secret(&self, candidate: &str) -> Result<String, sqlx::Error> {
        sqlx::query("INSERT INTO cursor_secrets (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(candidate)
            .execute(self.0.pool())
            .await?;
        sqlx::query("SELECT secret FROM cursor_secrets WHERE id = 1").fetch_one(self.0.pool()).await?.try_get(0)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.0.begin().await
    }

    /// Publishes a draft; `false` when it is none.
    pub(super) async fn publish(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE contents SET status = 'published' WHERE id = $1 AND status = 'draft'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn content(row: &AnyRow) -> Result<Content, sqlx::Error> {
    Ok(Content {
        id: row.try_get(0)?,
        title: row.try_get(1)?,
        body: row.try_get(2)?,
        status: row.try_get(3)?,
        audience: from_json(&row.try_get::<String, _>(4)?)?,
        created_at: Timestamp::from_millis(row.try_get(5)?),
    })
}
