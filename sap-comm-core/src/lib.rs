//! The vocabulary of sap-comm.
//!
//! Everything that two services must agree on and nothing that opens a socket: the event envelope, the error envelope,
//! the request context that crosses every hop, pagination, service resolution, tokens and keys, configuration.
//!
//! ```
//! use sap_comm_core::{Event, EventPayload};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize, EventPayload)]
//! #[event(type = "user.created")]
//! #[serde(rename_all = "camelCase")]
//! struct UserCreated {
//!     user_id: String,
//!     email: String,
//! }
//!
//! let event = Event::new("auth-service", UserCreated { user_id: "usr_1".into(), email: "a@example.com".into() });
//! let json = event.to_json()?;
//! let raw = sap_comm_core::RawEvent::from_json(&json)?;
//! assert_eq!(raw.event_type, "user.created");
//! let back: Event<UserCreated> = raw.decode()?;
//! assert_eq!(back.data.email, "a@example.com");
//! # Ok::<(), sap_comm_core::DecodeError>(())
//! ```

pub mod auth;
pub mod config;
mod context;
mod error;
mod event;
pub mod id;
mod name;
mod page;
mod principal;
mod resolver;
mod secret;
pub mod telemetry;
mod timestamp;

pub use context::{Context, TraceContext, header};
pub use error::{ApiError, BoxError, ErrorBody, ErrorCode, ErrorEnvelope};
pub use event::{DecodeError, Event, EventKind, EventPayload, Extensions, Metadata, RawEvent};
pub use name::Name;
pub use page::{Page, PageQuery, Pagination};
pub use principal::{Principal, PrincipalKind};
pub use resolver::{
    Endpoint, EndpointError, EndpointSet, EnvResolver, Registrar, Registration, RegistrationError, RegistrationGuard,
    Resolution, ResolveError, Resolver, StaticResolver,
};
pub use sap_comm_macros::EventPayload;
pub use secret::Secret;
pub use timestamp::{Timestamp, TimestampError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
