mod code;
mod envelope;
#[cfg(feature = "axum")]
mod response;

pub use code::ErrorCode;
pub use envelope::{ApiError, BoxError, ErrorBody, ErrorEnvelope};
