//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13).
//!
//! | who | with |
//! | --- | --- |
//! | a service says which version it answers with | [`Tagged`] |
//! | the [kit](crate::server::kit) answers 304 or 412 to a conditional GET | by itself; `If-Match` with a list fails where an answer has no `ETag` |
//! | a handler refuses a change of another version than the caller saw | [`Preconditions`], [`RequiredPreconditions`] |
//! | a client asks only for what it does not have, or changes only what it saw | [`Call::if_changed`], [`Call::if_match`] |
//!
//! [`Call::if_changed`]: crate::client::Call::if_changed
//! [`Call::if_match`]: crate::client::Call::if_match

mod entity_tag;
mod evaluate;
mod preconditions;
mod tagged;

pub use entity_tag::{EntityTag, InvalidEntityTag};
pub use preconditions::{Preconditions, RequiredPreconditions};
pub use tagged::Tagged;

pub(crate) use evaluate::evaluate;
#[cfg(feature = "compression")]
pub(crate) use preconditions::tags_of;
