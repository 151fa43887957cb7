//! What handlers take; every refusal is an `ApiError`.

mod body;
mod field_names;
mod json;
mod paged;
mod path;
mod query;
mod strict;
mod upload;
mod valid;

pub(super) use body::refusal as body_refusal;
pub use json::Json;
pub use paged::Paged;
pub use path::Path;
pub use query::Query;
pub(crate) use query::parse as parse_query;
pub use upload::Upload;
pub use valid::{Valid, ValidPath, ValidQuery};

/// The longest text of a parser that is passed on: it may repeat the input.
const MAX_REASON: usize = 256;

/// Cuts a text at a character's boundary.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_REASON)).unwrap_or(text)
}
