mod envelope;
mod extensions;
mod field;
mod kind;
mod payload;
mod plain;
mod raw;
mod read;
mod write;

pub use envelope::{Event, Metadata};
pub use extensions::Extensions;
pub use kind::EventKind;
pub use payload::EventPayload;
pub use raw::{DecodeError, RawEvent};
