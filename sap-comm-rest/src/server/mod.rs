//! What a service needs to serve REST.
//!
//! | step | with |
//! | --- | --- |
//! | read a request | [`Json`], [`Valid`], [`Path`], [`Query`], [`Paged`], [`CurrentUser`](auth::CurrentUser) |
//! | answer it | [`Json`], [`PageResponse`], [`Created`], `sap_comm_core::ApiError` |
//! | say who may | [`authenticate`](auth::authenticate), [`require_role`](auth::require_role), [`require_scope`](auth::require_scope) |
//! | version, document, probe it | [`versioned`], [`docs`], [`HealthRegistry`] |
//! | serve what a [`Contract`](crate::operation::Contract) declares | [`ContractRouter`] |
//! | give every path the same behaviour | [`kit`] |
//! | serve it | [`Server`] |

pub mod auth;
mod contract_router;
mod deadline;
mod deprecation;
mod docs;
mod extract;
mod health;
pub mod idempotency;
mod kit;
mod listen;
mod respond;
mod versioned;

pub use contract_router::{ContractRouter, Handler};
pub(crate) use deprecation::add_deprecation;
pub use deprecation::{Deprecation, DeprecationConfig, deprecated};
pub use docs::docs;
pub(crate) use extract::parse_query;
pub use extract::{Json, Paged, Path, Query, Upload, Valid, ValidPath, ValidQuery};
pub(crate) use health::is_probe;
pub use health::{CheckStatus, HealthRegistry, HealthReport};
pub use kit::{Cors, CorsConfig, CorsLayer, KitConfig, Verbatim, kit};
pub(crate) use kit::{
    HARMLESS_SECURITY_HEADERS, accepts_problem, as_problem, is_preflight, set_harmless_security_headers,
    set_security_headers,
};
pub(crate) use listen::{ConnectionHandler, SERVED_METHODS, Whole, join_cookies};
pub use listen::{Server, ServerConfig, ServerError};
pub use respond::{Created, NoContent, PageResponse, Streamed};
pub use versioned::versioned;
