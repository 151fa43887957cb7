use std::collections::HashMap;

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use sap_comm::{
    ApiError, PageQuery,
    graphql::RestDataSource,
    rest::operation::{ResourceId, Untyped},
};
use serde::Serialize;

use crate::contract::{
    api::{CREATE_USER, DELETE_USER, GET_USER, LIST_PROFILES, LIST_USERS, UPDATE_USER, UserError},
    rest::{CreateUser, Profile, ProfilesQuery, User},
};

/// The specification's `userAPI`.
pub(super) struct UserApi(RestDataSource);

impl UserApi {
    pub(super) fn new(users: RestDataSource) -> Self {
        Self(users)
    }

    pub(super) async fn get_user_by_id(&self, id: &str) -> Result<Option<User>, ApiError> {
        // No user has an id that a path cannot hold.
        if id.parse::<ResourceId>().is_err() {
            return Ok(None);
        }
        match self.0.call(&GET_USER, (id,)).await {
            Ok(user) => Ok(Some(user)),
            Err(error) if error.code() == Some(UserError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn get_users(&self, page: PageQuery) -> Result<Vec<User>, ApiError> {
        Ok(self.0.call(&LIST_USERS, (page,)).await?.data)
    }

    pub(super) async fn create_user(&self, user: &CreateUser) -> Result<User, ApiError> {
        Ok(self.0.call(&CREATE_USER, (user,)).await?)
    }

    pub(super) async fn update_user(&self, id: &str, changes: &impl Serialize) -> Result<User, ApiError> {
        exists(id)?;
        Ok(self.0.call(&UPDATE_USER, (id, None, Untyped(changes))).await?)
    }

    pub(super) async fn delete_user(&self, id: &str) -> Result<(), ApiError> {
        exists(id)?;
        Ok(self.0.call(&DELETE_USER, (id, None)).await?)
    }
}

/// No user has an id that a path cannot hold.
fn exists(id: &str) -> Result<(), ApiError> {
    if id.parse::<ResourceId>().is_err() { Err(ApiError::not_found("user", id)) } else { Ok(()) }
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
            let profiles = self.0.call(&LIST_PROFILES, (&query,)).await?;
            found.extend(profiles.data.into_iter().map(|profile| (profile.user_id.clone(), profile)));
        }
        Ok(found)
    }
}
