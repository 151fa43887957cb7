use async_graphql::{InputObject, MaybeUndefined};
use serde::Serialize;

use crate::contract::rest::{CreateUser, ProfileInput};

/// A new user.
#[derive(Debug, InputObject)]
pub(super) struct CreateUserInput {
    email: String,
    password: String,
    profile: Option<UserProfileInput>,
    roles: Option<Vec<String>>,
}

impl From<CreateUserInput> for CreateUser {
    fn from(input: CreateUserInput) -> Self {
        let CreateUserInput { email, password, profile, roles } = input;
        Self { email, password, profile: profile.map(ProfileInput::from), roles }
    }
}

/// Changes to a user. What is absent is not sent, so that it stays.
#[derive(Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateUserInput {
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    email: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    profile: MaybeUndefined<UserProfileInput>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    roles: MaybeUndefined<Vec<String>>,
}

/// What a user says about themselves.
#[derive(Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserProfileInput {
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    first_name: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    last_name: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    birth_date: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    birth_place: MaybeUndefined<String>,
    #[serde(skip_serializing_if = "MaybeUndefined::is_undefined")]
    profile_picture: MaybeUndefined<String>,
}

impl From<UserProfileInput> for ProfileInput {
    fn from(input: UserProfileInput) -> Self {
        let UserProfileInput { first_name, last_name, birth_date, birth_place, profile_picture } = input;
        Self {
            first_name: first_name.take(),
            last_name: last_name.take(),
            birth_date: birth_date.take(),
            birth_place: birth_place.take(),
            profile_picture: profile_picture.take(),
        }
    }
}
