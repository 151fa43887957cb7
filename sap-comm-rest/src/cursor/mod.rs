//! Lists that are read on from where the last page ended, whatever was added meanwhile.
//!
//! A cursor is a position in a list, sealed by the service: opaque to its callers, signed with HMAC-SHA256, bound to the
//! list, its other parameters and the caller, and good for a time. One that was tampered with, is over, or belongs to another
//! list is `INVALID_ARGUMENT` (400) and names `cursor`.
//!
//! ```
//! use axum::extract::{OriginalUri, State};
//! use sap_comm_core::ApiError;
//! use sap_comm_rest::{
//!     cursor::{CursorPageResponse, CursorQuery, CursorSealer},
//!     operation::Operation,
//! };
//!
//! const LIST: Operation<(CursorQuery,), CursorPageResponse<u64>> = Operation::get("/api/v1/numbers");
//!
//! async fn list(
//!     State(cursors): State<CursorSealer>,
//!     OriginalUri(uri): OriginalUri,
//!     query: CursorQuery,
//! ) -> Result<CursorPageResponse<u64>, ApiError> {
//!     let after: u64 = cursors.open(&query, &uri)?.unwrap_or(0);
//!     // One more than was asked for tells whether there are more.
//!     let mut numbers: Vec<u64> = (after + 1..).take(query.limit as usize + 1).collect();
//!     let more = numbers.len() > query.limit as usize;
//!     numbers.truncate(query.limit as usize);
//!     let next = numbers.last().filter(|_| more).map(|last| cursors.seal(last, &uri)).transpose()?;
//!     Ok(CursorPageResponse::new(numbers, &query, &uri).next(next))
//! }
//! ```

mod page;
mod query;
mod sealer;

pub use page::{CursorPage, CursorPageResponse, CursorPagination};
pub use query::CursorQuery;
pub use sealer::{CursorSealer, CursorSealerBuilder};
