//! What each service serves: one definition an operation, shared by services, clients and the gateway.

mod auth;
mod contents;
mod notifications;
mod users;

pub use auth::{
    ACTIVATE_CREDENTIALS, API_KEYS_READ, AUTH_SERVICE, AuthError, CREATE_API_KEY, DELETE_CREDENTIALS, JWKS,
    LIST_API_KEY_RECORDS, LIST_API_KEYS, LOGIN, MAX_LIVE_API_KEYS, PREPARE_CREDENTIALS, REFRESH, REVOKE_API_KEY,
};
pub use contents::{
    CONTENT_SERVICE, CREATE_CONTENT, ContentError, GET_CONTENT, LIST_CONTENTS, LIST_CONTENTS_V2, PUBLISH_CONTENT,
};
pub use notifications::{
    GET_NOTIFICATION, LIST_NOTIFICATIONS, NOTIFICATION_SERVICE, NotificationError, READ_NOTIFICATION,
};
pub use users::{
    CREATE_USER, DELETE_USER, GET_PROFILE, GET_USER, LIST_PROFILES, LIST_USERS, UPDATE_USER, USER_SERVICE, UserError,
    UserUpdate,
};

const ADMIN: &[&str] = &["admin"];
