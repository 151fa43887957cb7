//! The same JSON as the other clients send.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) const EXCHANGE: &str = "user.events";
pub(crate) const QUEUE: &str = "user.events.user-service";
pub(crate) const TYPE: &str = "user.created";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainEvent {
    pub(crate) id: String,
    r#type: String,
    source: String,
    timestamp: String,
    pub(crate) correlation_id: String,
    pub(crate) data: UserCreated,
    metadata: PlainMetadata,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserCreated {
    pub(crate) number: u32,
    user_id: String,
    email: String,
    roles: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlainMetadata {
    version: String,
}

/// A W3C `traceparent`, the same for all events.
pub(crate) const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl PlainEvent {
    pub(crate) fn numbered(number: u32) -> Self {
        Self {
            id: format!("evt_{}", Uuid::now_v7().simple()),
            r#type: TYPE.to_owned(),
            source: "auth-service".to_owned(),
            timestamp: format!("{:.3}", jiff::Timestamp::now()),
            correlation_id: format!("req_{}", Uuid::now_v7().simple()),
            data: UserCreated {
                number,
                user_id: format!("usr_{number}"),
                email: format!("user{number}@example.com"),
                roles: vec!["user".to_owned()],
            },
            metadata: PlainMetadata { version: "1.0".to_owned() },
        }
    }
}
