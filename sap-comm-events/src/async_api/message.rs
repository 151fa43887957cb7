//! A type of event as a message, and the channel that it travels on.

use sap_comm_core::{EventKind, EventPayload, header as core_header};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    AsyncApiError, envelope,
    schema::{self, Schemas},
};
use crate::{
    header,
    topology::{ExchangeKind, Target},
};

/// The version of AsyncAPI's AMQP binding.
pub(super) const AMQP_BINDING: &str = "0.3.0";

/// A payload type, as a document needs it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) event_type: &'static str,
    version: &'static str,
    kind: EventKind,
    schema_name: String,
    /// The payload's schema and those that it refers to.
    schemas: Vec<(String, Value)>,
}

impl Described {
    pub(super) fn of<T: EventPayload + ToSchema>() -> Self {
        let (schema_name, schemas) = schema::named::<T>();
        Self { event_type: T::TYPE, version: T::VERSION, kind: T::KIND, schema_name, schemas }
    }

    pub(super) fn add_schemas(&self, schemas: &mut Schemas) -> Result<(), AsyncApiError> {
        self.schemas.iter().try_for_each(|(name, schema)| schemas.add(name, schema.clone()))
    }

    /// The name of the channel; a command's has the same form as an event's.
    pub(super) fn channel(&self, exchange: &str) -> String {
        format!("{exchange}:{}", self.event_type)
    }

    /// The name of the message.
    pub(super) fn key(&self) -> String {
        format!("{}-{}", self.event_type, self.version)
    }

    pub(super) fn reference(&self) -> String {
        format!("#/components/messages/{}", self.key())
    }

    pub(super) fn reference_in(&self, exchange: &str) -> String {
        format!("#/channels/{}/messages/{}", self.channel(exchange), self.key())
    }

    pub(super) fn describe_channel(&self, exchange: &str) -> Value {
        let (name, kind) = match Target::of(exchange, self.kind) {
            Target::Exchange { name, kind: ExchangeKind::Topic } => (name, "topic"),
            Target::Exchange { name, kind: ExchangeKind::Direct } => (name, "direct"),
            Target::Later { name, .. } => (name, "default"),
            Target::Queue(name) => (name.into(), "default"),
        };
        json!({
            "address": self.event_type,
            "messages": {},
            "bindings": { "amqp": {
                "is": "routingKey",
                "exchange": { "name": name, "type": kind, "durable": true, "autoDelete": false },
                "bindingVersion": AMQP_BINDING,
            } },
        })
    }

    pub(super) fn describe(&self) -> Value {
        let text = |description: &str| json!({ "type": "string", "description": description });
        json!({
            "name": self.event_type,
            "title": format!("{} {}", self.event_type, self.version),
            "contentType": "application/json",
            "correlationId": { "location": "$message.payload#/correlationId" },
            "headers": {
                "type": "object",
                "properties": {
                    (header::KIND): {
                        "const": self.kind.as_str(),
                        "description": "The kind of the event. Absent means domain.",
                    },
                    (core_header::TRACEPARENT): text("W3C trace context."),
                    (core_header::REQUEST_ID): text("The request that caused the event."),
                },
            },
            "payload": {
                "allOf": [
                    { "$ref": format!("#/components/schemas/{}", envelope::NAME) },
                    {
                        "properties": {
                            "type": { "const": self.event_type },
                            "data": { "$ref": format!("#/components/schemas/{}", self.schema_name) },
                            "metadata": { "properties": { "version": { "pattern": self.versions() } } },
                        },
                    },
                ],
            },
            "bindings": { "amqp": {
                "contentEncoding": "utf-8",
                "messageType": self.event_type,
                "bindingVersion": AMQP_BINDING,
            } },
        })
    }

    /// The versions that are alike: any minor one of the major.
    fn versions(&self) -> String {
        format!("^{}\\.", self.version.split('.').next().unwrap_or(self.version))
    }
}

/// Adds a message to those of the document.
pub(super) fn add(messages: &mut Map<String, Value>, name: String, described: Value) -> Result<(), AsyncApiError> {
    match messages.get(&name) {
        Some(own) if *own != described => Err(AsyncApiError::Conflict { what: "messages", name }),
        _ => {
            messages.insert(name, described);
            Ok(())
        }
    }
}
