use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

/// A body that is sent as it is made, of a type of its own.
#[derive(Debug)]
pub struct Streamed {
    content_type: HeaderValue,
    body: Body,
}

impl Streamed {
    /// Bytes of no particular type: `application/octet-stream`.
    pub fn new(body: impl Into<Body>) -> Self {
        Self { content_type: HeaderValue::from_static("application/octet-stream"), body: body.into() }
    }

    /// With this content type.
    #[must_use]
    pub fn content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = content_type;
        self
    }
}

impl IntoResponse for Streamed {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.body).into_response()
    }
}
