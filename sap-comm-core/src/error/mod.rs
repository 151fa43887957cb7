mod code;
mod envelope;

pub use code::ErrorCode;
pub use envelope::{ApiError, BoxError, ErrorBody, ErrorEnvelope};
