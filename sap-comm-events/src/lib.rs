//! Typed events on RabbitMQ or in memory.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Broker`] | the connection: publish, subscribe, health, close |
//! | [`EventRouter`] | handlers by payload type, and what they may answer |
//! | [`Subscription`] | the exchange, the consumer group and its limits |
//! | [`Request`] | a command that is answered, by [`Broker::request`] and [`EventRouter::on_request`] |
//! | [`DeadLetters`] | what could not be handled: count, peek, redrive, purge |
//! | [`Tail`] | what is published to an exchange, live, for whoever looks on |
//! | [`TopologySpec`] | what a service declares, and where its broker differs |
//! | `async_api` | the AsyncAPI document of a service (feature `asyncapi`) |
//! | [`cloud_events`] | events as CloudEvents, for peers that speak those |
//! | `Management` | RabbitMQ's management HTTP API (feature `management`) |
//! | [`EventProcessingFailed`] | what `error.events` carries |
//! | `outbox`, `inbox` | events that share a database transaction with their cause or their effect (feature `sql`) |
//! | `test_util` | what tests of a service need (feature `test-util`) |
//! | [`header`] | the message headers that this crate adds |
//!
//! ```
//! use sap_comm_core::{Event, EventPayload};
//! use sap_comm_events::{Broker, BrokerConfig, EventRouter};
//!
//! #[derive(Debug, serde::Serialize, serde::Deserialize, EventPayload)]
//! #[event(type = "user.created")]
//! struct UserCreated {
//!     email: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::connect("memory://", BrokerConfig::new("user-service")).await?;
//! let (seen, mut arrived) = tokio::sync::mpsc::channel(1);
//! let router = EventRouter::new().on(move |event: Event<UserCreated>| {
//!     let seen = seen.clone();
//!     async move { Ok(seen.send(event.data.email).await?) }
//! });
//! let subscription = broker.subscribe("user.events", router).await?;
//! broker.publish("user.events", UserCreated { email: "a@example.com".into() }).await?;
//! assert_eq!(arrived.recv().await.as_deref(), Some("a@example.com"));
//! subscription.stop().await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "rabbitmq")]
mod amqp;
#[cfg(feature = "asyncapi")]
pub mod async_api;
mod backend;
mod broker;
pub mod cloud_events;
mod consumer;
mod dead_letter;
#[cfg(all(feature = "rabbitmq", any(test, fuzzing)))]
pub mod fuzzing;
#[cfg(feature = "sql")]
pub mod inbox;
#[cfg(feature = "management")]
mod management;
mod memory;
mod message;
#[cfg(feature = "sql")]
pub mod outbox;
#[cfg(feature = "rabbitmq")]
mod rabbit;
mod request;
mod router;
#[cfg(feature = "sql")]
pub mod sql;
mod subscription;
mod tail;
mod telemetry;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(any(feature = "rabbitmq", feature = "management"))]
mod tls;
mod topology;

pub use broker::{
    Broker, BrokerConfig, BrokerHealth, BrokerState, BrokerStatus, Confirmation, ConnectError, OverflowPolicy,
    PublishError, PublishOptions, QueueStatus, TlsConfig,
};
pub use consumer::{ERROR_EVENTS, EventProcessingFailed, FailureCause};
pub use dead_letter::{DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters, Filter, Progress, Round};
#[cfg(feature = "management")]
pub use management::{Management, ManagementError};
pub use message::{EventFormat, header};
pub use request::{Request, RequestError};
pub use router::{Batching, EventRouter, HandlerError, Outcome};
pub use subscription::{
    OrderingKey, RetryOrder, Stream, StreamOffset, SubscribeError, Subscription, SubscriptionHandle,
};
pub use tail::{Tail, TailedEvent};
pub use topology::{Argument, BindingSpec, ExchangeSpec, QueueSpec, TopologyDifference, TopologyError, TopologySpec};

#[cfg(all(doctest, feature = "test-util"))]
#[doc = include_str!("../README.md")]
struct Readme;
