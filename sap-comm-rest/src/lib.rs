//! REST between services and at the edge.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`server`] | what a service needs to serve REST: extractors, validation, pages, authentication, health, documents, an accept loop with limits |
//! | [`client`] | calls to other services: resolver, balancer, breaker, retries, deadlines, the error envelope as an error |
//! | [`operation`] | one definition of an operation: route, handler's types, typed call, gateway's entry, OpenAPI |
//! | [`conditional`] | entity tags, conditional requests, updates that are not lost |
//! | [`cursor`] | lists that are read by signed cursors |
//! | [`gateway`] | the edge: routes, authentication, rate limits, streaming both ways |
//! | [`egress`] | which addresses client and gateway connect to |
//! | [`tls`] | certificates for all three, replaced while in use |
//!
//! Errors are `sap_comm_core::ApiError` everywhere, and the envelope on the wire.

mod chunks;
pub mod client;
pub mod conditional;
mod connector;
pub mod cursor;
pub mod egress;
pub mod gateway;
mod network;
pub mod operation;
mod options;
pub mod server;
mod stall;
pub mod tls;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
