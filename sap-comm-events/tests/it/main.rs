//! Behaviour of the public API, over every broker.

mod conformance;
mod events;
mod memory;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
