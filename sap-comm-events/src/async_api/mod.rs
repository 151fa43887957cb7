//! The AsyncAPI 3 document of a service: which events it publishes and consumes, and what they look like.
//!
//! Payloads describe themselves by utoipa's `ToSchema`, as they do for OpenAPI. The document lists the exchanges and routing
//! keys of [RabbitMQ](crate), and the specification's envelope around each payload.
//!
//! ```
//! use sap_comm_core::EventPayload;
//! use sap_comm_events::async_api::AsyncApi;
//!
//! #[derive(serde::Serialize, serde::Deserialize, EventPayload, utoipa::ToSchema)]
//! #[event(type = "user.created")]
//! struct UserCreated {
//!     email: String,
//! }
//!
//! let document = AsyncApi::new("user-service", "1.4.0")
//!     .server("production", "amqps://rabbit.example.com/sap")
//!     .publishes::<UserCreated>("user.events")
//!     .build()?;
//! assert!(document.to_json().contains(r#""asyncapi": "3.0.0""#));
//! # Ok::<(), sap_comm_events::async_api::AsyncApiError>(())
//! ```

mod envelope;
mod error;
mod message;
mod reply;
mod schema;
mod server;

use std::fmt;

use sap_comm_core::EventPayload;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

pub use self::error::AsyncApiError;
use self::{message::Described, reply::Answer, schema::Schemas, server::Server};
use crate::{EventRouter, Request, topology::check_name};

/// Builds the document of one service.
#[derive(Debug)]
#[must_use]
pub struct AsyncApi {
    title: String,
    version: String,
    description: Option<String>,
    servers: Vec<(String, String)>,
    operations: Vec<Operation>,
}

/// What a service does with a type of event on an exchange.
#[derive(Debug)]
struct Operation {
    action: Action,
    exchange: String,
    event: Described,
    /// What a request is answered with.
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Send,
    Receive,
}

/// A finished document.
#[derive(Debug, Clone, PartialEq)]
pub struct AsyncApiDocument {
    json: Value,
    /// Exchange and event type.
    consumed: Vec<(String, &'static str)>,
}

impl AsyncApi {
    /// The document of a service: its name, and the version of its interface.
    pub fn new(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            title: service.into(),
            version: version.into(),
            description: None,
            servers: Vec::new(),
            operations: Vec::new(),
        }
    }

    /// What the service is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// A broker that the service is found at: `amqp://host:port/vhost`, without credentials.
    pub fn server(mut self, name: impl Into<String>, url: impl Into<String>) -> Self {
        self.servers.push((name.into(), url.into()));
        self
    }

    /// The service publishes events with payload `T` to `exchange`.
    pub fn publishes<T: EventPayload + ToSchema>(self, exchange: impl Into<String>) -> Self {
        self.operation::<T>(Action::Send, exchange.into())
    }

    /// The service consumes events with payload `T` from `exchange`.
    pub fn consumes<T: EventPayload + ToSchema>(self, exchange: impl Into<String>) -> Self {
        self.operation::<T>(Action::Receive, exchange.into())
    }

    /// The service sends requests `C` to `exchange` and waits for their answers.
    pub fn requests<C>(self, exchange: impl Into<String>) -> Self
    where
        C: Request<Reply: ToSchema> + ToSchema,
    {
        self.request::<C>(Action::Send, exchange.into())
    }

    /// The service answers requests `C` that are sent to `exchange`.
    pub fn answers<C>(self, exchange: impl Into<String>) -> Self
    where
        C: Request<Reply: ToSchema> + ToSchema,
    {
        self.request::<C>(Action::Receive, exchange.into())
    }

    fn request<C>(mut self, action: Action, exchange: String) -> Self
    where
        C: Request<Reply: ToSchema> + ToSchema,
    {
        let answer = Some(Answer::to::<C>());
        self.operations.push(Operation { action, exchange, event: Described::of::<C>(), answer });
        self
    }

    fn operation<T: EventPayload + ToSchema>(mut self, action: Action, exchange: String) -> Self {
        self.operations.push(Operation { action, exchange, event: Described::of::<T>(), answer: None });
        self
    }

    /// The document.
    ///
    /// # Errors
    /// When a server's URL or an exchange's name is invalid, or two schemas share a name and differ.
    pub fn build(self) -> Result<AsyncApiDocument, AsyncApiError> {
        let mut schemas = Schemas::default();
        schemas.add(envelope::NAME, envelope::schema())?;
        let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
        let mut consumed = Vec::new();
        for Operation { action, exchange, event, answer } in self.operations {
            check_name("exchange", &exchange).map_err(|error| AsyncApiError::Exchange { reason: error.to_string() })?;
            event.add_schemas(&mut schemas)?;
            message::add(&mut messages, event.key(), event.describe())?;
            let channel = channels.entry(event.channel(&exchange)).or_insert_with(|| event.describe_channel(&exchange));
            channel["messages"][event.key()] = json!({ "$ref": event.reference() });
            let name = format!("{}.{}", action.name(), event.channel(&exchange));
            let operation = operations.entry(name).or_insert_with(|| action.describe(&event.channel(&exchange)));
            add_once(&mut operation["messages"], &event.reference_in(&exchange));
            if let Some(answer) = answer {
                answer.add_schemas(&mut schemas)?;
                answer.add_messages(&mut messages)?;
                let channel = answer.channel(&exchange);
                if operation["reply"].is_null() {
                    operation["reply"] = Answer::describe(&channel);
                }
                answer.add_references(&channel, &mut operation["reply"], &mut channels);
            }
            if action == Action::Receive {
                consumed.push((exchange, event.event_type));
            }
        }
        let mut info = json!({ "title": self.title, "version": self.version });
        if let Some(description) = self.description {
            info["description"] = description.into();
        }
        let mut servers = Map::new();
        for (name, url) in self.servers {
            let server = Server::parse(&name, &url)?.describe();
            servers.insert(name, server);
        }
        let mut json = json!({
            "asyncapi": "3.0.0",
            "info": info,
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": operations,
            "components": { "messages": messages, "schemas": schemas.into_json() },
        });
        if !servers.is_empty() {
            json["servers"] = servers.into();
        }
        Ok(AsyncApiDocument { json, consumed })
    }
}

/// Adds a reference to a list that has it once.
fn add_once(list: &mut Value, reference: &str) {
    let reference = json!({ "$ref": reference });
    match list {
        Value::Array(list) if list.contains(&reference) => {}
        Value::Array(list) => list.push(reference),
        other => *other = json!([reference]),
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }

    fn describe(self, channel: &str) -> Value {
        let amqp = match self {
            Self::Send => json!({ "deliveryMode": 2, "mandatory": true, "bindingVersion": message::AMQP_BINDING }),
            Self::Receive => json!({ "ack": true, "bindingVersion": message::AMQP_BINDING }),
        };
        json!({
            "action": self.name(),
            "channel": { "$ref": format!("#/channels/{channel}") },
            "bindings": { "amqp": amqp },
        })
    }
}

impl AsyncApiDocument {
    /// The document as indented JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}", self.json)
    }

    /// The document as a JSON value.
    #[must_use]
    pub fn as_value(&self) -> &Value {
        &self.json
    }

    /// The event types that `router` handles and this document does not list as consumed from `exchange`: a test of the
    /// service finds none.
    #[must_use]
    pub fn undocumented(&self, exchange: &str, router: &EventRouter) -> Vec<&'static str> {
        let interest = router.interest();
        let handled = interest.events.into_iter().chain(interest.commands);
        handled
            .filter(|handled| !self.consumed.iter().any(|(own, listed)| own == exchange && listed == handled))
            .collect()
    }
}

impl fmt::Display for AsyncApiDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.json)
    }
}
