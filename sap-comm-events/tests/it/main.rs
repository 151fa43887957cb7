//! Behaviour of the public API, over every broker.

#[cfg(feature = "asyncapi")]
mod async_api;
#[cfg(feature = "cli")]
mod cli;
mod conformance;
mod events;
#[cfg(feature = "test-util")]
mod ledger;
#[cfg(feature = "cli")]
mod management;
mod memory;
#[cfg(feature = "test-util")]
mod memory_broker;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
mod readme;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "otel")]
mod telemetry;
mod waiting;
