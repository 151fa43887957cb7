use std::collections::HashMap;

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use sap_comm::{ApiError, Page, PageQuery, graphql::RestDataSource};
use serde::Serialize;

use crate::contract::rest::{CreateUser, Profile, Profiles, ProfilesQuery, User};

/// The specification's `userAPI`.
pub(super) struct UserApi(RestDataSource);

impl UserApi {
    pub(super) fn new(users: RestDataSource) -> Self {
        Self(users)
    }

    pub(super) async fn get_user_by_id(&self, id: &str) -> Result<Option<User>, ApiError> {
        self.0.find("/api/v1/users/{}", [id]).await
    }

    pub(super) async fn get_users(&self, page: PageQuery) -> Result<Vec<User>, ApiError> {
        let users: Page<User> = self.0.get("/api/v1/users", []).query(&page).fetch().await?;
        Ok(users.data)
    }

    pub(super) async fn create_user(&self, user: &CreateUser) -> Result<User, ApiError> {
        Ok(self.0.post("/api/v1/users", []).json(user).fetch().await?)
    }

    pub(super) async fn update_user(&self, id: &str, changes: &impl Serialize) -> Result<User, ApiError> {
        exists(id)?;
        Ok(self.0.put("/api/v1/users/{}", [id]).json(changes).fetch().await?)
    }

    pub(super) async fn delete_user(&self, id: &str) -> Result<(), ApiError> {
        exists(id)?;
        self.0.delete("/api/v1/users/{}", [id]).send().await?;
        Ok(())
    }
}

/// No user has an id that a path cannot hold.
fn exists(id: &str) -> Result<(), ApiError> {
    if matches!(id, "" | "." | "..") { Err(ApiError::not_found("user", id)) } else { Ok(()) }
}

/// The specification's `profileAPI`, asked for all profiles of a request at once.
pub(super) struct ProfileApi(RestDataSource);

/// The loader of one request.
pub(super) type ProfileLoader = DataLoader<ProfileApi, HashMapCache>;

impl ProfileApi {
    /// The most that the user service takes in one call.
    pub(super) const MAX_BATCH: usize = 100;

    pub(super) fn new(users: RestDataSource) -> Self {
        Self(users)
    }
}

impl Loader<String> for ProfileApi {
    type Value = Profile;
    type Error = ApiError;

    async fn load(&self, user_ids: &[String]) -> Result<HashMap<String, Profile>, ApiError> {
        let mut found = HashMap::with_capacity(user_ids.len());
        for batch in user_ids.chunks(Self::MAX_BATCH) {
            let query = ProfilesQuery { user_ids: batch.join(",") };
            let profiles: Profiles = self.0.get("/api/v1/profiles", []).query(&query).fetch().await?;
            found.extend(profiles.data.into_iter().map(|profile| (profile.user_id.clone(), profile)));
        }
        Ok(found)
    }
}
