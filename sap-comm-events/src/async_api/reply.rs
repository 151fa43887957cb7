//! The answers to a request: an event with the reply, or an error.

use sap_comm_core::ErrorEnvelope;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    AsyncApiError, envelope, message,
    schema::{self, Schemas},
};
use crate::Request;

/// The name of the error envelope's schema and message.
const ERROR: &str = "ErrorEnvelope";

/// What a request is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request's type.
    event_type: &'static str,
    schema_name: String,
    /// The reply's schema and those that it refers to.
    schemas: Vec<(String, Value)>,
}

impl Answer {
    pub(super) fn to<C: Request<Reply: ToSchema>>() -> Self {
        let (schema_name, schemas) = schema::of::<C::Reply>();
        Self { event_type: C::TYPE, schema_name, schemas }
    }

    pub(super) fn add_schemas(&self, schemas: &mut Schemas) -> Result<(), AsyncApiError> {
        let (_, error) = schema::of::<ErrorEnvelope>();
        error.into_iter().try_for_each(|(name, schema)| schemas.add(&name, schema))?;
        self.schemas.iter().try_for_each(|(name, schema)| schemas.add(name, schema.clone()))
    }

    pub(super) fn add_messages(&self, messages: &mut Map<String, Value>) -> Result<(), AsyncApiError> {
        message::add(messages, self.key(), self.message())?;
        let error = json!({
            "name": ERROR,
            "title": "Why a request failed",
            "contentType": "application/json",
            "payload": { "$ref": format!("#/components/schemas/{ERROR}") },
        });
        message::add(messages, ERROR.to_owned(), error)
    }

    /// The name of the channel.
    pub(super) fn channel(&self, exchange: &str) -> String {
        format!("{exchange}:{}", self.key())
    }

    /// The name of the message, which is its type too.
    fn key(&self) -> String {
        format!("{}.reply", self.event_type)
    }

    /// The reply of the operation, on `channel`.
    pub(super) fn describe(&self, channel: &str) -> Value {
        let reference = |name: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
        json!({
            "address": {
                "location": "$message.header#/replyTo",
                "description": "The AMQP property reply-to: a queue of the requester's, by way of the default exchange.",
            },
            "channel": { "$ref": format!("#/channels/{channel}") },
            "messages": [reference(&self.key()), reference(ERROR)],
        })
    }

    /// The channel that a requester names with each request.
    pub(super) fn describe_channel(&self) -> Value {
        let reference = |name: &str| json!({ "$ref": format!("#/components/messages/{name}") });
        json!({
            "address": null,
            "messages": { (self.key()): reference(&self.key()), (ERROR): reference(ERROR) },
        })
    }

    fn message(&self) -> Value {
        json!({
            "name": self.key(),
            "title": format!("The answer to {}", self.event_type),
            "contentType": "application/json",
            "correlationId": {
                "location": "$message.header#/correlationId",
                "description": "The AMQP property correlation-id: the id of the request.",
            },
            "payload": {
                "allOf": [
                    { "$ref": format!("#/components/schemas/{}", envelope::NAME) },
                    {
                        "properties": {
                            "type": { "const": self.key() },
                            "data": { "$ref": format!("#/components/schemas/{}", self.schema_name) },
                        },
                    },
                ],
            },
            "bindings": { "amqp": { "messageType": self.key(), "bindingVersion": message::AMQP_BINDING } },
        })
    }
}
