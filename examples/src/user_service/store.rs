#[cfg(test)]
mod tests;

use sap_comm::{PageQuery, Timestamp, id, rest::conditional::EntityTag};
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
        updated_at BIGINT NOT NULL,
        version BIGINT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS profiles (user_id TEXT PRIMARY KEY, profile TEXT NOT NULL);
";

const COLUMNS: &str = "id, email, roles, created_at, updated_at, version";

/// What became of a change.
pub(super) enum Updated {
    /// The user as they are now.
    To(Versioned),
    /// Another user has the address.
    EmailTaken,
    /// There is no such user.
    Unknown,
}

/// A user, and how often they changed.
#[derive(Debug)]
pub(super) struct Versioned {
    pub(super) user: User,
    pub(super) version: i64,
}

impl Versioned {
    /// The entity tag of this version.
    pub(super) fn tag(&self) -> EntityTag {
        tag(self.version)
    }
}

pub(super) fn tag(version: i64) -> EntityTag {
    EntityTag::of_version(version.unsigned_abs())
}

#[derive(Clone)]
pub(super) struct Store(pub(super) Database);

impl Store {
    /// Reserves the address for a user who is not active yet. A reservation is taken over by the next who wants the
    /// address: the row has the last one's id, and only that one can be activated.
    pub(super) async fn reserve(&self, email: &str, roles: &[String]) -> Result<Option<User>, sqlx::Error> {
        let now = Timestamp::now();
        let user = User {
            id: id::prefixed("usr"),
            email: email.to_owned(),
            roles: roles.to_vec(),
            created_at: now,
            updated_at: now,
        };
        let done = sqlx::query(
            "INSERT INTO users (id, email, roles, status, created_at, updated_at, version)
             VALUES ($1, $2, $3, 'reserved', $4, $4, 1)
             ON CONFLICT (email) DO UPDATE SET id = $1, roles = $3, created_at = $4, updated_at = $4
             WHERE users.status = 'reserved'",
        )
        .bind(&user.id)
        .bind(email)
        .bind(to_json(roles)?)
        .bind(now.as_millis())
        .execute(self.0.pool())
        .await?;
        Ok((done.rows_affected() == 1).then_some(user))
    }

    /// Makes a reserved user active; `false` when somebody else has the address by now.
    pub(super) async fn activate(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<bool, sqlx::Error> {
        let done = sqlx::query("UPDATE users SET status = 'active' WHERE id = $1 AND status = 'reserved'")
            .bind(id)
            .execute(&mut **tx)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn find(&self, id: &str) -> Result<Option<Versioned>, sqlx::Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM users WHERE id = $1 AND status = 'active'"
        )))
        .bind(id)
        .fetch_optional(self.0.pool())
        .await?;
        row.as_ref().map(versioned).transpose()
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

    /// Changes what is given of a user, and counts the change.
    pub(super) async fn update(
        &self,
        tx: &mut Transaction<'_, Any>,
        id: &str,
        change: &UpdateUser,
    ) -> Result<Updated, sqlx::Error> {
        if let Some(email) = &change.email {
            // Who has only reserved the address is not a user yet.
            sqlx::query("DELETE FROM users WHERE email = $1 AND status = 'reserved'")
                .bind(email)
                .execute(&mut **tx)
                .await?;
        }
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "UPDATE users SET email = COALESCE($2, email), roles = COALESCE($3, roles), updated_at = $4,
             version = version + 1 WHERE id = $1 AND status = 'active' RETURNING {COLUMNS}"
        )))
        .bind(id)
        .bind(change.email.as_deref())
        .bind(change.roles.as_ref().map(to_json).transpose()?)
        .bind(Timestamp::now().as_millis())
        .fetch_optional(&mut **tx)
        .await;
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Updated::Unknown),
            Err(error) if is_duplicate(&error) => return Ok(Updated::EmailTaken),
            Err(error) => return Err(error),
        };
        if let Some(input) = &change.profile {
            let profile = find_profile(tx, id).await?.unwrap_or_default();
            save_profile(tx, id, &merged(profile, input)).await?;
        }
        versioned(&row).map(Updated::To)
    }

    /// Gives a new user the profile that they were created with; what was set since stays. `false` when the user is
    /// gone.
    pub(super) async fn add_profile(
        &self,
        tx: &mut Transaction<'_, Any>,
        user_id: &str,
        created_with: ProfileInput,
    ) -> Result<bool, sqlx::Error> {
        // Holds the row, so that nobody changes or deletes the user meanwhile.
        let held = sqlx::query("UPDATE users SET status = status WHERE id = $1 AND status = 'active'")
            .bind(user_id)
            .execute(&mut **tx)
            .await?;
        if held.rows_affected() == 0 {
            return Ok(false);
        }
        let since = find_profile(tx, user_id).await?.unwrap_or_default();
        save_profile(tx, user_id, &merged(created_with, &since)).await?;
        Ok(true)
    }

    /// Holds a user's row until the transaction ends; the version, when there is such a user.
    pub(super) async fn hold(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<Option<i64>, sqlx::Error> {
        let sql = "UPDATE users SET status = status WHERE id = $1 AND status = 'active' RETURNING version";
        sqlx::query(sql).bind(id).fetch_optional(&mut **tx).await?.map(|row| row.try_get(0)).transpose()
    }

    /// Hides a user who is about to be deleted, so that nobody changes them meanwhile; the version. One whose deletion was
    /// begun before, and not ended, can be deleted still.
    pub(super) async fn begin_delete(
        &self,
        tx: &mut Transaction<'_, Any>,
        id: &str,
    ) -> Result<Option<i64>, sqlx::Error> {
        let sql =
            "UPDATE users SET status = 'deleting' WHERE id = $1 AND status IN ('active', 'deleting') RETURNING version";
        sqlx::query(sql).bind(id).fetch_optional(&mut **tx).await?.map(|row| row.try_get(0)).transpose()
    }

    /// Shows a user again who could not be deleted.
    pub(super) async fn undo_delete(&self, id: &str) -> Result<(), sqlx::Error> {
        let sql = "UPDATE users SET status = 'active' WHERE id = $1 AND status = 'deleting'";
        sqlx::query(sql).bind(id).execute(self.0.pool()).await.map(drop)
    }

    /// Takes a user out; `false` when there is none.
    pub(super) async fn delete(&self, tx: &mut Transaction<'_, Any>, id: &str) -> Result<bool, sqlx::Error> {
        // The user first: whoever writes the profile holds that row.
        let done =
            sqlx::query("DELETE FROM users WHERE id = $1 AND status <> 'reserved'").bind(id).execute(&mut **tx).await?;
        sqlx::query("DELETE FROM profiles WHERE user_id = $1").bind(id).execute(&mut **tx).await?;
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

fn versioned(row: &AnyRow) -> Result<Versioned, sqlx::Error> {
    Ok(Versioned { user: user(row)?, version: row.try_get("version")? })
}

async fn find_profile(connection: &mut AnyConnection, user_id: &str) -> Result<Option<ProfileInput>, sqlx::Error> {
    let row =
        sqlx::query("SELECT profile FROM profiles WHERE user_id = $1").bind(user_id).fetch_optional(connection).await?;
    row.map(|row| from_json(&row.try_get::<String, _>(0)?)).transpose()
}

async fn save_profile(
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
fn merged(mut profile: ProfileInput, input: &ProfileInput) -> ProfileInput {
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
    profile
}

fn with_owner(user_id: String, input: ProfileInput) -> Profile {
    let ProfileInput { first_name, last_name, birth_date, birth_place, profile_picture } = input;
    Profile { user_id, first_name, last_name, birth_date, birth_place, profile_picture }
}
