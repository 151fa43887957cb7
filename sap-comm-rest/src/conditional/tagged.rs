use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sap_comm_core::ErrorCode;
use serde_json::json;

use super::{EntityTag, preconditions::TAGS};
use crate::{
    client::{self, ClientError},
    operation::{Description, Output},
};

/// An answer with the version of what it shows, as `ETag`.
///
/// Caches may keep it and must ask whether it is still right, unless the handler says otherwise in `Cache-Control`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<O>(pub EntityTag, pub O);

impl<O: IntoResponse> IntoResponse for Tagged<O> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        let headers = response.headers_mut();
        if let Some(tag) = self.0.header() {
            headers.insert(header::ETAG, tag);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
        response
    }
}

impl<O: Output> Output for Tagged<O> {
    type Value = O::Value;

    const WHOLE: bool = O::WHOLE;

    fn describe(description: &mut Description) {
        O::describe(description);
        for status in description.answers().filter(StatusCode::is_success).collect::<Vec<_>>() {
            description.header(status, "etag", "The version of what is answered.", json!({"type": "string"}));
        }
        if description.is_read() {
            let tags = json!({"type": "string", "pattern": TAGS, "examples": ["\"v7\""]});
            description.header_parameter("If-None-Match", "Answers only another version.", false, tags);
            description.answer(StatusCode::NOT_MODIFIED, "It is in this version still.");
            description.header(
                StatusCode::NOT_MODIFIED,
                "etag",
                "The version that it is in.",
                json!({"type": "string"}),
            );
            description.fails(&ErrorCode::INVALID_ARGUMENT, "A header is no list of entity tags.");
            description.fails(&ErrorCode::PRECONDITION_FAILED, "`If-Match` was sent, and it is in another version.");
        }
    }

    async fn read(response: client::Response) -> Result<O::Value, ClientError> {
        O::read(response).await
    }
}
