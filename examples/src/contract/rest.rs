//! Bodies of requests and responses.

use garde::Validate;
use sap_comm::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Name and password.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's address.
    #[garde(length(max = 254))]
    #[schema(max_length = 254)]
    pub email: String,
    /// The user's password.
    #[garde(length(max = 128))]
    #[schema(max_length = 128)]
    pub password: String,
}

/// A refresh token to trade in.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token of the last answer; it serves once.
    #[garde(length(max = 128))]
    #[schema(max_length = 128)]
    pub refresh_token: String,
}

/// Tokens.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Trades for new tokens, once.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds that the access token lives.
    pub expires_in: u64,
}

/// How a user logs in: set by the user service.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user's address.
    #[garde(email, length(max = 254))]
    #[schema(format = "email", max_length = 254)]
    pub email: String,
    /// A new password; absent keeps the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(min = 8, max = 128)))]
    #[schema(min_length = 8, max_length = 128)]
    pub password: Option<String>,
    /// The user's roles.
    #[garde(length(max = 16), inner(length(min = 1, max = 64)))]
    #[schema(max_items = 16)]
    pub roles: Vec<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id.
    pub id: String,
    /// The address.
    pub email: String,
    /// The roles.
    pub roles: Vec<String>,
    /// When the user was created.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// When the user last changed.
    #[schema(value_type = String, format = "date-time")]
    pub updated_at: Timestamp,
}

/// A new user.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// The address.
    #[garde(email, length(max = 254))]
    #[schema(format = "email", max_length = 254)]
    pub email: String,
    /// The password.
    #[garde(length(min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128)]
    pub password: String,
    /// What the user says about themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub profile: Option<ProfileInput>,
    /// The roles; `user` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 16), inner(length(min = 1, max = 64)))]
    #[schema(max_items = 16)]
    pub roles: Option<Vec<String>>,
}

/// Changes to a user; what is absent stays.
#[derive(Debug, Default, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// The new address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(email, length(max = 254)))]
    #[schema(format = "email", max_length = 254)]
    pub email: Option<String>,
    /// Changes to the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub profile: Option<ProfileInput>,
    /// The new roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 16), inner(length(min = 1, max = 64)))]
    #[schema(max_items = 16)]
    pub roles: Option<Vec<String>>,
}

/// What a user says about themselves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileInput {
    /// First name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 100))]
    #[schema(max_length = 100)]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 100))]
    #[schema(max_length = 100)]
    pub last_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(pattern(r"^\d{4}-\d{2}-\d{2}$")))]
    #[schema(pattern = r"^\d{4}-\d{2}-\d{2}$")]
    pub birth_date: Option<String>,
    /// Place of birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 200))]
    #[schema(max_length = 200)]
    pub birth_place: Option<String>,
    /// Address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(max = 500))]
    #[schema(max_length = 500)]
    pub profile_picture: Option<String>,
}

/// A user's profile.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Whose profile this is.
    pub user_id: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    pub birth_date: Option<String>,
    /// Place of birth.
    pub birth_place: Option<String>,
    /// Address of a picture.
    pub profile_picture: Option<String>,
}

/// Several profiles.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Profiles {
    /// Those that were found.
    pub data: Vec<Profile>,
}

/// Whose profiles.
#[derive(Debug, Deserialize, Serialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProfilesQuery {
    /// At most 100 user ids, separated by commas.
    pub user_ids: String,
}

/// New content.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateContent {
    /// The title.
    #[garde(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// The text.
    #[garde(length(max = 20_000))]
    #[schema(max_length = 20_000)]
    pub body: String,
    /// The users to tell once it is published.
    #[serde(default)]
    #[garde(length(max = 1_000), inner(length(min = 1, max = 64)))]
    #[schema(max_items = 1_000)]
    pub audience: Vec<String>,
}

/// Content.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The id.
    pub id: String,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// `draft` or `published`.
    pub status: String,
    /// The users to tell.
    pub audience: Vec<String>,
    /// When it was created.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// The id.
    pub id: String,
    /// Whom it is for.
    pub user_id: String,
    /// Its kind, such as `content-published`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
    /// `unread` or `read`.
    pub status: String,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
}

/// A new API key, shown once.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKey {
    /// The public part, by which it is revoked.
    pub prefix: String,
    /// The key.
    pub key: String,
    /// The service that holds it.
    pub owner: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

/// Whom a new API key is for.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// The service that will hold it.
    #[garde(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub owner: String,
    /// What it may do, such as `users:read`.
    #[garde(length(max = 16), inner(length(min = 1, max = 64)))]
    #[schema(max_items = 16)]
    pub scopes: Vec<String>,
}
