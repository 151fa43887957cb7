//! AMQP 0-9-1, as much of it as this crate speaks.
//!
//! Whoever sends writes frames into the connection's buffer and goes on; one task writes the buffer to the socket, as much
//! at once as there is. A second task reads, and hands each channel what is for it: the answer to a question, or an
//! [`Event`]. Nothing here connects anew: a connection that is lost stays lost.
//!
//! <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, and RabbitMQ's extensions to it.

mod assembly;
mod channel;
mod connection;
mod content;
mod decode;
mod encode;
mod error;
mod frame;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod handshake;
mod ledger;
mod method;
mod outbound;
mod properties;
mod reading;
mod registry;
mod settling;
#[cfg(test)]
pub(crate) mod tests;
mod value;
mod writing;

pub(crate) use self::{
    channel::{Channel, ExchangeOptions, Got, QueueOptions},
    connection::Connection,
    content::Content,
    error::Error,
    handshake::{Login, Mechanism, connect},
    properties::PropertiesWriter,
    registry::{Delivery, Event, Sink},
    value::Value,
};
#[cfg(any(test, fuzzing))]
pub(crate) use self::{fuzzing::frames, properties::properties_bytes};
