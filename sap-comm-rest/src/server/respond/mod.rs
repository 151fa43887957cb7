//! What handlers answer with.

mod created;
mod page;

pub use created::Created;
pub use page::PageResponse;
