//! Service-to-service communication in one dependency.
//!
//! The vocabulary of `sap-comm-core` stands at the root; each transport is a module behind the feature of its name.
//! [`Service`] assembles them: it starts, reports its health, announces itself, and drains.
//!
#![doc = include_str!("docs/service.md")]

pub use sap_comm_core::*;

#[cfg(feature = "discovery")]
pub use sap_comm_discovery as discovery;
#[cfg(feature = "events")]
pub use sap_comm_events as events;
#[cfg(feature = "graphql")]
pub use sap_comm_graphql as graphql;
#[cfg(feature = "resilience")]
pub use sap_comm_resilience as resilience;
#[cfg(feature = "rest")]
pub use sap_comm_rest as rest;
#[cfg(feature = "ws")]
pub use sap_comm_ws as ws;

#[cfg(all(feature = "events", feature = "rest"))]
mod service;
#[cfg(all(feature = "events", feature = "rest"))]
pub use service::{RunningService, Service, ServiceBuilder, ServiceError, ServiceStarted, ServiceStopping};

pub mod logging;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
