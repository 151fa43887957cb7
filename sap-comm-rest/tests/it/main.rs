//! Behaviour over real connections, one module each.

mod admission;
mod authentication;
mod bombs;
mod client_calls;
mod client_failures;
mod client_pages;
mod compatibility;
#[cfg(feature = "compression")]
mod compression;
mod conditional;
mod context;
mod cors;
mod cursors;
mod deprecation;
mod documents;
mod early_answers;
mod egress;
#[cfg(not(feature = "compression"))]
mod encoded;
mod envelopes;
mod gateway;
mod health;
mod http2;
mod http2_attacks;
mod idempotency;
mod key_refresh;
mod limits;
mod operations;
mod own_success;
mod readme;
mod shutdown;
mod streams;
mod support;
mod tls;
mod users;
mod validation;
mod workers;
