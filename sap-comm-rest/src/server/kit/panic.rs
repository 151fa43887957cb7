use std::any::Any;

use axum::response::{IntoResponse, Response};
use sap_comm_core::ApiError;

/// The answer of a handler that panicked; the message goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(super) fn answer(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&'static str>().copied())
        .unwrap_or("a panic without a message");
    ApiError::internal(format!("the handler panicked: {message}")).into_response()
}
