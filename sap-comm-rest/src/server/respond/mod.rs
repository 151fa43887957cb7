//! What handlers answer with.

mod created;
mod no_content;
mod page;
mod streamed;

pub use created::Created;
pub use no_content::NoContent;
pub use page::PageResponse;
pub use streamed::Streamed;
