//! A GraphQL gateway over REST data sources.
//!
//! [`GraphqlGateway`] serves an `async-graphql` schema over HTTP as the GraphQL-over-HTTP specification asks, and keeps
//! hostile queries from it. Each request has a [`RequestScope`] of its own, in which data loaders batch calls; a resolver's
//! [`ApiError`](sap_comm_core::ApiError) becomes the error's `extensions`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `gateway` | [`GraphqlGateway`], its builder and options |
//! | `http` | requests in, responses out: parameters, negotiation, statuses |
//! | `guard` | what is measured before a query is executed |
//! | `execute`, `scope` | one request: context, data loaders, time limit |
//! | `rest` | [`RestDataSource`], one service as a data source |
//! | `absent` | variables that were left out, which must not become null |
//! | `complete` | data as the specification has it: order, nulls |
//! | `error` | errors as `extensions`, internals masked |
//! | `playground` | a page to try queries on, offline |

mod absent;
mod authenticate;
mod complete;
mod error;
mod execute;
mod gateway;
mod guard;
mod http;
mod playground;
mod rest;
mod scope;

pub use authenticate::Authenticate;
pub use gateway::{GraphqlGateway, GraphqlGatewayBuilder, GraphqlOptions};
pub use guard::GuardLimits;
pub use rest::RestDataSource;
pub use scope::RequestScope;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
