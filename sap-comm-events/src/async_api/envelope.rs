//! The specification's envelope as a schema.

use serde_json::{Value, json};

/// The name of its schema.
pub(super) const NAME: &str = "EventEnvelope";

pub(super) fn schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object",
        "description": "What every event has around its payload. Unknown fields are kept.",
        "required": ["id", "type", "source", "timestamp", "correlationId", "data", "metadata"],
        "properties": {
            "id": text("Unique; the same event delivered twice has the same id."),
            "type": text("The type and routing key."),
            "source": text("The service that made the event."),
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When the event was made: RFC 3339, in UTC, with milliseconds.",
            },
            "correlationId": text("Ties the event to the request that caused it."),
            "data": { "description": "The payload." },
            "metadata": {
                "type": "object",
                "required": ["version"],
                "properties": {
                    "version": text("Version of the payload, major.minor."),
                    "userId": text("The user who caused the event."),
                },
            },
        },
    })
}
