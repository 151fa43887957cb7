use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::sources::ProfileLoader;
use crate::contract::rest::{self, Profile, ProfileInput};

/// A user of the panel.
#[derive(Debug, Clone)]
pub(super) struct User {
    user: rest::User,
    /// What the user was just created with; the service makes the stored one from `user.created`.
    profile: Option<UserProfile>,
}

#[Object]
impl User {
    async fn id(&self) -> ID {
        ID(self.user.id.clone())
    }

    async fn email(&self) -> &str {
        &self.user.email
    }

    async fn profile(&self, ctx: &Context<'_>) -> Result<Option<UserProfile>> {
        if self.profile.is_some() {
            return Ok(self.profile.clone());
        }
        let profile = ctx.data::<ProfileLoader>()?.load_one(self.user.id.clone()).await?;
        Ok(profile.map(UserProfile::from))
    }

    async fn roles(&self) -> &[String] {
        &self.user.roles
    }

    async fn created_at(&self) -> String {
        self.user.created_at.to_string()
    }

    async fn updated_at(&self) -> String {
        self.user.updated_at.to_string()
    }
}

impl User {
    pub(super) fn created(user: rest::User, profile: Option<ProfileInput>) -> Self {
        Self { user, profile: profile.map(UserProfile::from) }
    }
}

impl From<rest::User> for User {
    fn from(user: rest::User) -> Self {
        Self { user, profile: None }
    }
}

/// What a user says about themselves.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct UserProfile {
    first_name: Option<String>,
    last_name: Option<String>,
    birth_date: Option<String>,
    birth_place: Option<String>,
    profile_picture: Option<String>,
}

impl From<Profile> for UserProfile {
    fn from(profile: Profile) -> Self {
        let Profile { first_name, last_name, birth_date, birth_place, profile_picture, .. } = profile;
        Self { first_name, last_name, birth_date, birth_place, profile_picture }
    }
}

impl From<ProfileInput> for UserProfile {
    fn from(profile: ProfileInput) -> Self {
        let ProfileInput { first_name, last_name, birth_date, birth_place, profile_picture } = profile;
        Self { first_name, last_name, birth_date, birth_place, profile_picture }
    }
}
