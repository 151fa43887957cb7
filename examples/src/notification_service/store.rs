use sap_comm::{PageQuery, Timestamp};
use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{contract::rest::Notification, database::Database};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS notifications (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        message TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at BIGINT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS notifications_of_user ON notifications (user_id, created_at);
";

#[derive(Clone)]
pub(super) struct Store(pub(super) Database);

impl Store {
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.0.begin().await
    }

    pub(super) async fn add(&self, tx: &mut Transaction<'_, Any>, new: &Notification) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO notifications (id, user_id, kind, message, status, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&new.id)
        .bind(&new.user_id)
        .bind(&new.kind)
        .bind(&new.message)
        .bind(&new.status)
        .bind(new.created_at.as_millis())
        .execute(&mut **tx)
        .await
        .map(drop)
    }

    pub(super) async fn find(&self, user_id: &str, id: &str) -> Result<Option<Notification>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT id, user_id, kind, message, status, created_at FROM notifications WHERE id = $1 AND user_id = $2",
        )
        .bind(id)
        .bind(user_id)
        .fetch_optional(self.0.pool())
        .await?;
        row.as_ref().map(notification).transpose()
    }

    /// One page of a user's notifications, newest first, and how many there are in all.
    pub(super) async fn list(&self, user_id: &str, query: PageQuery) -> Result<(Vec<Notification>, u64), sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id, user_id, kind, message, status, created_at FROM notifications
             WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3",
        )
        .bind(user_id)
        .bind(i64::from(query.limit))
        .bind(i64::try_from(query.offset()).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        let total: i64 = sqlx::query("SELECT COUNT(*) FROM notifications WHERE user_id = $1")
            .bind(user_id)
            .fetch_one(self.0.pool())
            .await?
            .try_get(0)?;
        Ok((rows.iter().map(notification).collect::<Result<_, _>>()?, u64::try_from(total).unwrap_or(0)))
    }

    /// Deletes all that a user has; how many.
    pub(super) async fn delete_of(&self, tx: &mut Transaction<'_, Any>, user_id: &str) -> Result<u64, sqlx::Error> {
        let done = sqlx::query("DELETE FROM notifications WHERE user_id = $1").bind(user_id).execute(&mut **tx).await?;
        Ok(done.rows_affected())
    }

    /// Marks a user's own notification as read; `false` when there is none.
    pub(super) async fn mark_read(&self, user_id: &str, id: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE notifications SET status = 'read' WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .execute(self.0.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn notification(row: &AnyRow) -> Result<Notification, sqlx::Error> {
    Ok(Notification {
        id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        kind: row.try_get(2)?,
        message: row.try_get(3)?,
        status: row.try_get(4)?,
        created_at: Timestamp::from_millis(row.try_get(5)?),
    })
}
