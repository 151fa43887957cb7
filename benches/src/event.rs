//! The events that travel, ours and the peers' twin of it.

use std::sync::Arc;

use sap_comm::EventPayload;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The exchange of every bench.
pub const EXCHANGE: &str = "user.events";
/// The publishing service.
pub const SOURCE: &str = "auth-service";
/// The consumer group.
pub const GROUP: &str = "user-service";

/// The specification's `user.created`, numbered. As a whole event its JSON has about 310 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, EventPayload)]
#[event(type = "user.created")]
#[serde(rename_all = "camelCase")]
pub struct UserCreated {
    /// Counts from zero: what is lost or comes twice is seen.
    pub number: u32,
    /// The user.
    pub user_id: String,
    /// The user's address.
    pub email: String,
    /// The user's roles.
    pub roles: Vec<String>,
}

impl UserCreated {
    /// The event with this number.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        Self {
            number,
            user_id: format!("usr_{number}"),
            email: format!("user{number}@example.com"),
            roles: vec!["user".to_owned()],
        }
    }
}

/// An event whose payload has a size of one's choice.
#[derive(Clone, Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "blob.stored")]
pub struct Sized {
    /// The payload's text. Shared, so that publishing it again does not copy it.
    pub text: Arc<str>,
}

impl Sized {
    /// A payload of so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self { text: "x".repeat(bytes).into() }
    }
}

/// The same JSON as an `Event<UserCreated>`, the way a program without this SDK writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainEvent {
    pub(crate) id: String,
    pub(crate) r#type: String,
    pub(crate) source: String,
    pub(crate) timestamp: String,
    pub(crate) correlation_id: String,
    pub(crate) data: UserCreated,
    metadata: PlainMetadata,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainMetadata {
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

/// The W3C `traceparent` of the peers' events. Ours has one for each batch; that they have one for all costs them less.
pub(crate) const TRACE_PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl PlainEvent {
    pub(crate) fn numbered(number: u32) -> Self {
        Self {
            id: format!("evt_{}", Uuid::now_v7().simple()),
            r#type: UserCreated::TYPE.to_owned(),
            source: SOURCE.to_owned(),
            timestamp: format!("{:.3}", jiff::Timestamp::now()),
            correlation_id: format!("req_{}", Uuid::now_v7().simple()),
            data: UserCreated::numbered(number),
            metadata: PlainMetadata { version: UserCreated::VERSION.to_owned(), user_id: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use sap_comm::{Event, RawEvent};

    use super::*;

    #[test]
    fn the_peers_send_the_same_json_as_we_do() {
        let plain = serde_json::to_vec(&PlainEvent::numbered(7)).unwrap();
        let ours: Event<UserCreated> = RawEvent::from_json(&plain).unwrap().decode().unwrap();
        assert_eq!(ours.to_json().unwrap(), plain);
        assert_eq!(plain.len(), Event::new(SOURCE, UserCreated::numbered(7)).to_json().unwrap().len());
        assert!((250..350).contains(&plain.len()), "{}", plain.len());
    }
}
