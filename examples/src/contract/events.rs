//! Payloads, and the exchanges that they travel on.

use sap_comm::EventPayload;
use serde::{Deserialize, Serialize};

use super::rest::ProfileInput;

/// Exchange of users' events.
pub const USER_EVENTS: &str = "user.events";
/// Exchange of contents' events.
pub const CONTENT_EVENTS: &str = "content.events";
/// Exchange of notifications' events.
pub const NOTIFICATION_EVENTS: &str = "notification.events";
/// Commands to the notification service.
pub const NOTIFICATION_COMMANDS: &str = "notification.commands";

/// A user was created.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "user.created")]
#[serde(rename_all = "camelCase")]
pub struct UserCreated {
    /// The user.
    pub user_id: String,
    /// The user's address.
    pub email: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// What the user said about themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileInput>,
}

/// A user's address or roles changed.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "user.updated")]
#[serde(rename_all = "camelCase")]
pub struct UserUpdated {
    /// The user.
    pub user_id: String,
    /// The user's address.
    pub email: String,
    /// The user's roles.
    pub roles: Vec<String>,
    /// Counts the user's changes: a lower one that comes later is outdated.
    pub version: i64,
}

/// A user was deleted.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "user.deleted")]
#[serde(rename_all = "camelCase")]
pub struct UserDeleted {
    /// The user.
    pub user_id: String,
}

/// Content is out, for an audience.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "content.published", kind = "integration")]
#[serde(rename_all = "camelCase")]
pub struct ContentPublished {
    /// The content.
    pub content_id: String,
    /// Its title.
    pub title: String,
    /// The users to tell.
    pub audience: Vec<String>,
}

/// A notification awaits a user.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "notification.created")]
#[serde(rename_all = "camelCase")]
pub struct NotificationCreated {
    /// The notification.
    pub notification_id: String,
    /// Whom it is for.
    pub user_id: String,
    /// Its kind, such as `content-published`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
}

/// The user has seen the notification.
#[derive(Debug, Clone, Serialize, Deserialize, EventPayload)]
#[event(type = "notification.mark-read", kind = "command")]
#[serde(rename_all = "camelCase")]
pub struct MarkNotificationRead {
    /// The notification.
    pub notification_id: String,
    /// Who has seen it; only its own user may.
    pub user_id: String,
}
