//! Requests that may be sent twice and are carried out once: `Idempotency-Key`.
//!
//! An operation that [takes a key](crate::operation::Operation::idempotency_key) is carried out once for each key, and its
//! answer is kept: a repetition gets it again, with `idempotency-replayed: true`. What a key stands for is the method, the
//! path with its query, the body and the caller.
//!
//! | a request with a key | is answered |
//! | --- | --- |
//! | that is new | by the handler |
//! | that was carried out | as the first time |
//! | that is being carried out | 409 `IDEMPOTENCY_CONFLICT` with `Retry-After` |
//! | beyond the caller's share of the store | 429 `RATE_LIMITED` with `Retry-After` |
//! | that stood for something else, or was another caller's | 422 `IDEMPOTENCY_VALIDATION_FAILED` |
//!
//! Answers of 500 and above, 401, 403, 408 and 429 are not kept: the next request with the key is carried out. A request that
//! its client gives up is carried out to its end in the background. Who crashes meanwhile holds the key for its
//! [lease](IdempotencyConfig::lease); then the next one carries it out. Whatever the crashed one had committed by then was done, so the work itself should be
//! one transaction, or find out by itself that it was done.

mod carry_out;
mod config;
mod fingerprint;
mod memory;
#[cfg(feature = "sql")]
mod sql;
mod store;

pub use config::IdempotencyConfig;
pub use memory::MemoryIdempotencyStore;
#[cfg(feature = "sql")]
pub use sql::SqlIdempotencyStore;
pub use store::{Claim, IdempotencyStore, KeptAnswer};

pub(crate) use carry_out::{Idempotency, caller, carry_out};

use sap_comm_core::ErrorCode;

/// The header with the key.
pub(crate) const KEY: &str = "idempotency-key";

/// Says that an answer is that of an earlier request.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

/// The most characters of a key.
pub(crate) const MAX_KEY: usize = 255;

/// The key is being worked on.
pub(crate) fn in_progress() -> ErrorCode {
    ErrorCode::CONFLICT.of("idempotency")
}

/// The key stood for something else.
pub(crate) fn reused() -> ErrorCode {
    ErrorCode::VALIDATION_FAILED.of("idempotency")
}
