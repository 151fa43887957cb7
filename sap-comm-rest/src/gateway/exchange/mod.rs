//! Requests and their answers over one HTTP/1.1 connection to an endpoint (RFC 9112), one after the other.
//!
//! Whoever waits for an answer, or passes its body on, drives the connection; there is no task behind it but where an endpoint
//! answers before it has the whole request. Nothing is made of a request but its bytes.

mod connection;
mod error;
mod head;
mod outbound;
mod remaining;
mod request;

pub(super) use connection::Connection;
pub(super) use error::ExchangeError;
pub(super) use request::{Allotted, HeaderLines, OutgoingHead};
