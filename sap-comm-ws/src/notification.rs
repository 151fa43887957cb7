use sap_comm_core::{Context, Timestamp, id};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a user is told: the payload of `notification`.
///
/// ```
/// use sap_comm_ws::Notification;
///
/// let notification = Notification::new("content-published", "New content is available").field("contentId", "cnt_1");
/// assert!(notification.id.starts_with("ntf_"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Identifies the notification in acknowledgements.
    pub id: String,
    /// What it is about, such as `content-published`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub message: String,
    /// When it was made.
    pub timestamp: Timestamp,
    /// Further fields, beside the ones above.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Notification {
    /// A notification of now, with a new id.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            id: id::prefixed("ntf"),
            kind: kind.into(),
            message: message.into(),
            timestamp: Timestamp::now(),
            fields: Map::new(),
        }
    }

    /// With another id, such as the one that it is stored under.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The payload for the wire: with `traceId`, `traceparent` and `correlationId`, so that a device can carry on.
    pub(crate) fn payload(&self, context: &Context) -> Value {
        let mut payload = self.fields.clone();
        for (name, value) in [
            ("id", self.id.clone()),
            ("type", self.kind.clone()),
            ("message", self.message.clone()),
            ("timestamp", self.timestamp.to_string()),
            ("traceId", context.trace().trace_id()),
            ("traceparent", context.trace().traceparent()),
            ("correlationId", context.correlation_id().to_owned()),
        ] {
            payload.insert(name.to_owned(), value.into());
        }
        Value::Object(payload)
    }
}

/// What became of one notification, on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// Devices that were connected.
    pub sockets: usize,
    /// Devices whose acknowledgement came in time and was taken by the sink.
    pub acknowledged: usize,
    /// Devices that got nothing because too much already waited for them.
    pub overflowed: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_the_specification_fields_and_the_trace() {
        let context = Context::root();
        let notification = Notification::new("content-published", "New content is available")
            .with_id("ntf_1")
            .field("contentId", "cnt_1")
            .field("id", "forged");
        let payload = notification.payload(&context);
        assert_eq!(payload["id"], "ntf_1");
        assert_eq!(payload["type"], "content-published");
        assert_eq!(payload["message"], "New content is available");
        assert_eq!(payload["timestamp"], notification.timestamp.to_string());
        assert_eq!(payload["contentId"], "cnt_1");
        assert_eq!(payload["traceId"], context.trace().trace_id());
    }
}
