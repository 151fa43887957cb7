//! REST between services and at the edge.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`server`] | what a service needs to serve REST: extractors, validation, pages, authentication, health, documents, an accept loop with limits |
//! | [`client`] | calls to other services: resolver, balancer, breaker, retries, deadlines, the error envelope as an error |
//! | [`gateway`] | the edge: routes, authentication, rate limits, streaming both ways |
//!
//! Errors are `sap_comm_core::ApiError` everywhere, and the envelope on the wire.

pub mod client;
mod connector;
pub mod gateway;
mod options;
pub mod server;
mod stall;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
