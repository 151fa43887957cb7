use garde::Validate;
use sap_comm::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audience;

/// New content.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateContent {
    /// The title.
    #[garde(length(chars, min = 1, max = 200), pattern(r"^[^\u0000]*$"))]
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\u0000]*$")]
    pub title: String,
    /// The text.
    #[garde(length(chars, max = 20_000), pattern(r"^[^\u0000]*$"))]
    #[schema(max_length = 20_000, pattern = r"^[^\u0000]*$")]
    pub body: String,
    /// The users to tell once it is published.
    #[serde(default)]
    #[garde(length(max = 1_000), inner(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$")))]
    #[schema(schema_with = audience)]
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
