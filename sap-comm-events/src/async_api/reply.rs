//! The answers to a request: an event with the reply, or an error.

use sap_comm_core::{ErrorEnvelope, EventKind};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    AsyncApiError, add_once, envelope, message,
    schema::{self, Schemas},
};
use crate::Request;

/// The name of the error envelope's schema and message.
const ERROR: &str = "ErrorEnvelope";

/// What a request is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request's type and version.
    event_type: &'static str,
    version: &'static str,
    /// The reply's schema: it stands in its message, since a reply may be of a type whose name is no one's own, such as a list.
    schema: Value,
    /// Those that it refers to.
    schemas: Vec<(String, Value)>,
}

impl Answer {
    pub(super) fn to<C: Request<Reply: ToSchema>>() -> Self {
        const { assert!(matches!(C::KIND, EventKind::Command), "a request is a command: add kind = \"command\"") };
        let (schema, schemas) = schema::inline::<C::Reply>();
        Self { event_type: C::TYPE, version: C::VERSION, schema, schemas }
    }

    pub(super) fn add_schemas(&self, schemas: &mut Schemas) -> Result<(), AsyncApiError> {
        let (_, error) = schema::named::<ErrorEnvelope>();
        error.into_iter().try_for_each(|(name, schema)| schemas.add(&name, schema))?;
        self.schemas.iter().try_for_each(|(name, schema)| schemas.add(name, schema.clone()))
    }

    pub(super) fn add_messages(&self, messages: &mut Map<String, Value>) -> Result<(), AsyncApiError> {
        message::add(messages, self.key(), self.message())?;
        let error = json!({
            "name": ERROR,
            "title": "Why a request failed",
            "contentType": "application/json",
            "correlationId": correlation(),
            "payload": { "$ref": format!("#/components/schemas/{ERROR}") },
        });
        message::add(messages, ERROR.to_owned(), error)
    }

    /// The name of the channel.
    pub(super) fn channel(&self, exchange: &str) -> String {
        format!("{exchange}:{}", self.reply_type())
    }

    /// The type of the message.
    fn reply_type(&self) -> String {
        format!("{}.reply", self.event_type)
    }

    /// The name of the message.
    fn key(&self) -> String {
        format!("{}-{}", self.reply_type(), self.version)
    }

    /// Adds the answers to the reply of an operation, which begins as [`describe`](Self::describe) has it, and to its channel.
    pub(super) fn add_references(&self, channel: &str, reply: &mut Value, channels: &mut Map<String, Value>) {
        let described =
            channels.entry(channel.to_owned()).or_insert_with(|| json!({ "address": null, "messages": {} }));
        for name in [self.key(), ERROR.to_owned()] {
            add_once(&mut reply["messages"], &format!("#/channels/{channel}/messages/{name}"));
            described["messages"][&name] = json!({ "$ref": format!("#/components/messages/{name}") });
        }
    }

    /// The reply of the operation, on the channel that a requester names with each request, without its messages.
    pub(super) fn describe(channel: &str) -> Value {
        json!({
            "address": {
                "location": "$message.header#/replyTo",
                "description": "The AMQP property reply-to: a queue of the requester's, by way of the default exchange.",
            },
            "channel": { "$ref": format!("#/channels/{channel}") },
        })
    }

    fn message(&self) -> Value {
        json!({
            "name": self.reply_type(),
            "title": format!("The answer to {}", self.event_type),
            "contentType": "application/json",
            "correlationId": correlation(),
            "payload": {
                "allOf": [
                    { "$ref": format!("#/components/schemas/{}", envelope::NAME) },
                    {
                        "properties": {
                            "type": { "const": self.reply_type() },
                            "data": self.schema,
                        },
                    },
                ],
            },
            "bindings": { "amqp": { "messageType": self.reply_type(), "bindingVersion": message::AMQP_BINDING } },
        })
    }
}

fn correlation() -> Value {
    json!({
        "location": "$message.header#/correlationId",
        "description": "The AMQP property correlation-id: the id of the request.",
    })
}
