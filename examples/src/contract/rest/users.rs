use garde::Validate;
use sap_comm::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{hide_in_debug, names_or_null};

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
#[derive(Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// The address.
    #[garde(length(chars, max = 254), pattern(r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#))]
    #[schema(
        format = "email",
        max_length = 254,
        pattern = r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#
    )]
    pub email: String,
    /// The password.
    #[garde(length(chars, min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128)]
    pub password: String,
    /// What the user says about themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub profile: Option<ProfileInput>,
    /// The roles; `user` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(max = 16), inner(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$"))))]
    #[schema(schema_with = names_or_null)]
    pub roles: Option<Vec<String>>,
}

/// Changes to a user; what is absent stays.
#[derive(Debug, Default, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// The new address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, max = 254), pattern(r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#)))]
    #[schema(
        format = "email",
        max_length = 254,
        pattern = r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#
    )]
    pub email: Option<String>,
    /// Changes to the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    pub profile: Option<ProfileInput>,
    /// The new roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(max = 16), inner(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$"))))]
    #[schema(schema_with = names_or_null)]
    pub roles: Option<Vec<String>>,
}

/// What a user says about themselves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileInput {
    /// First name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, max = 100), pattern(r"^[^\u0000]*$")))]
    #[schema(max_length = 100, pattern = r"^[^\u0000]*$")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, max = 100), pattern(r"^[^\u0000]*$")))]
    #[schema(max_length = 100, pattern = r"^[^\u0000]*$")]
    pub last_name: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(pattern(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")))]
    #[schema(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    pub birth_date: Option<String>,
    /// Place of birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, max = 200), pattern(r"^[^\u0000]*$")))]
    #[schema(max_length = 200, pattern = r"^[^\u0000]*$")]
    pub birth_place: Option<String>,
    /// Address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(inner(length(chars, max = 500), pattern(r"^[^\u0000]*$")))]
    #[schema(max_length = 500, pattern = r"^[^\u0000]*$")]
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
#[derive(Debug, Deserialize, Serialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub struct ProfilesQuery {
    /// At most 100 user ids, separated by commas.
    #[garde(pattern(r"^[A-Za-z0-9_-]{1,64}(,[A-Za-z0-9_-]{1,64}){0,99}$"))]
    #[param(pattern = r"^[A-Za-z0-9_-]{1,64}(,[A-Za-z0-9_-]{1,64}){0,99}$")]
    pub user_ids: String,
}

hide_in_debug!(CreateUser { email, profile, roles });
