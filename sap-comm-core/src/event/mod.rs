mod envelope;
mod extensions;
mod kind;
mod name;
mod payload;
mod raw;

pub use envelope::{Event, Metadata};
pub use extensions::Extensions;
pub use kind::EventKind;
pub use payload::EventPayload;
pub use raw::{DecodeError, RawEvent};
