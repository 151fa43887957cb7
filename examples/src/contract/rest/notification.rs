use sap_comm::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
