use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// 204: done, and there is nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}
