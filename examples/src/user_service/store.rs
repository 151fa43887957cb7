use sap_comm::{PageQuery, Timestamp, id};
use sqlx::{Any, AnyConnection, Row, Transaction, any::AnyRow};

use crate::{
    contract::rest::{Profile, ProfileInput, UpdateUser, User},
    database::{Database, from_json, is_duplicate, to_json},
};

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        roles TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS profiles (user_id TEXT PRIMARY KEY, profile TEXT NOT NULL);
";

const COLUMNS: &str = "id, email, roles, created_at, updated_at";

#[derive(Clone)]
pub(super) struct Store(pub(super) Database);

impl Store {
    /// Reserves the address for a user who is not active yet. A reservation that was never activated is taken over.
    pub(super) async fn reserve(&self, email: &str, roles: &[String]) -> Result<Option<User>, sqlx::Error> {
        let now = Timestamp::now();
        let user = User {
            id: id::prefixed("usr"),
            email: email.to_owned(),
            roles: roles.to_vec(),
            created_at: now,
            updated_at: now,
        };
        let row = sqlx::query(
            "INSERT INTO users (id, email, roles, status, created_at, updated_at) VALUES ($1, $2, $3, 'reserved', $4, $4)
             ON CONFLICT (email) DO UPDATE SET roles = $3, created_at = $4, updated_at = $4 WHERE users.status = 'reserved'
             RETURNING id",
        )
        .bind(&user.id)
        .bind(email)
        .bind(to_json(roles)?)
        .bind(now.as_millis())
        .fetch_optional(self.0.pool())
        .await?;
        row.map(|row| Ok(User { id: row.try_get(0)?, ..user })).transpose()
    }

    /// Makes a reserved user active; `false` when somebody else did.
    pub(super) async fn activate(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE users SET status = 'active' WHERE id = $1 AND status = 'reserved'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<User>, sqlx::Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM users WHERE id = $1 AND status = 'active'"
        )))
        .bind(id)
        .fetch_optional(self.0.pool())
        .await?;
        row.as_ref().map(user).transpose()
    }

    /// One page, oldest first, and how many there are in all.
    pub(super) async fn list(&self, query: PageQuery) -> Result<(Vec<User>, u64), sqlx::Error> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM users WHERE status = 'active' ORDER BY created_at, id LIMIT $1 OFFSET $2"
        )))
        .bind(i64::from(query.limit))
        .bind(i64::try_from(query.offset()).unwrap_or(i64::MAX))
        .fetch_all(self.0.pool())
        .await?;
        let total: i64 = sqlx::query("SELECT COUNT(*) FROM users WHERE status = 'active'")
            .fetch_one(self.0.pool())
            .await?
            .try_get(0)?;
        Ok((rows.iter().map(user).collect::<Result<_, _>>()?, u64::try_from(total).unwrap_or(0)))
    }

    /// Changes a user; `None` when there is none, `Some(Err)` when the address is taken.
    pub(super) async fn update(&self, id: &str, change: &UpdateUser) -> Result<Option<Result<User, ()>>, sqlx::Error> {
        let Some(mut user) = self.find(id).await? else { return Ok(None) };
        if let Some(email) = &change.email {
            user.email.clone_from(email);
        }
        if let Some(roles) = &change.roles {
            user.roles.clone_from(roles);
        }
        user.updated_at = Timestamp::now();
        let mut tx = self.0.begin().await?;
        let done =
            sqlx::query("UPDATE users SET email = $2, roles = $3, updated_at = $4 WHERE id = $1 AND status = 'active'")
                .bind(id)
                .bind(&user.email)
                .bind(to_json(&user.roles)?)
                .bind(user.updated_at.as_millis())
                .execute(&mut *tx)
                .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => return Ok(None),
            Ok(_) => {}
            Err(error) if is_duplicate(&error) => return Ok(Some(Err(()))),
            Err(error) => return Err(error),
        }
        if let Some(input) = &change.profile {
            let mut profile = find_profile(&mut tx, id).await?.unwrap_or_default();
            merge(&mut profile, input);
            save_profile(&mut tx, id, &profile).await?;
        }
        tx.commit().await?;
        Ok(Some(Ok(user)))
    }

    /// Takes a user out; `false` when there is none.
    pub(super) async fn delete(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<bool, sqlx::Error> {
        sqlx::query("DELETE FROM profiles WHERE user_id = $1").bind(id).execute(&mut **tx).await?;
        let done =
            sqlx::query("DELETE FROM users WHERE id = $1 AND status = 'active'").bind(id).execute(&mut **tx).await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.0.begin().await
    }

    /// The profiles of those users who have one.
    pub(super) async fn profiles(&self, user_ids: &[&str]) -> Result<Vec<Profile>, sqlx::Error> {
        let places: Vec<_> = (1..=user_ids.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT user_id, profile FROM profiles WHERE user_id IN ({})", places.join(", "));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for id in user_ids {
            query = query.bind((*id).to_owned());
        }
        let rows = query.fetch_all(self.0.pool()).await?;
        rows.iter().map(|row| Ok(with_owner(row.try_get(0)?, from_json(&row.try_get::<String, _>(1)?)?))).collect()
    }
}

fn user(row: &AnyRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: row.try_get(0)?,
        email: row.try_get(1)?,
        roles: from_json(&row.try_get::<String, _>(2)?)?,
        created_at: Timestamp::from_millis(row.try_get(3)?),
        updated_at: Timestamp::from_millis(row.try_get(4)?),
    })
}

async fn find_profile(connection: &mut AnyConnection, user_id: &str) -> Result<Option<ProfileInput>, sqlx::Error> {
    let row =
        sqlx::query("SELECT profile FROM profiles WHERE user_id = $1").bind(user_id).fetch_optional(connection).await?;
    row.map(|row| from_json(&row.try_get::<String, _>(0)?)).transpose()
}

/// Sets a user's profile.
pub(super) async fn save_profile(
    connection: &mut AnyConnection,
    user_id: &str,
    profile: &ProfileInput,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO profiles (user_id, profile) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET profile = $2",
    )
    .bind(user_id)
    .bind(to_json(profile)?)
    .execute(connection)
    .await
    .map(drop)
}

/// What the input does not name stays.
fn merge(profile: &mut ProfileInput, input: &ProfileInput) {
    let fields = [
        (&mut profile.first_name, &input.first_name),
        (&mut profile.last_name, &input.last_name),
        (&mut profile.birth_date, &input.birth_date),
        (&mut profile.birth_place, &input.birth_place),
        (&mut profile.profile_picture, &input.profile_picture),
    ];
    for (field, new) in fields {
        if new.is_some() {
            field.clone_from(new);
        }
    }
}

fn with_owner(user_id: String, input: ProfileInput) -> Profile {
    let ProfileInput { first_name, last_name, birth_date, birth_place, profile_picture } = input;
    Profile { user_id, first_name, last_name, birth_date, birth_place, profile_picture }
}
