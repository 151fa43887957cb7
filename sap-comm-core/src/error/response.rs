use std::time::Duration;

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use super::{ApiError, ErrorCode};
use crate::Context;

impl IntoResponse for ApiError {
    /// The envelope as JSON, under the request id of the current context.
    ///
    /// The error itself goes into the response's extensions, so that a layer can log it or render it anew.
    fn into_response(self) -> Response {
        let envelope = self.envelope(&Context::current());
        let body = serde_json::to_vec(&envelope).unwrap_or_else(|error| {
            tracing::error!(%error, "an error envelope could not be written");
            Vec::new()
        });
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after_hint() {
            headers.insert(header::RETRY_AFTER, whole_seconds(after).into());
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge(self.code())));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Rounded up: a client that comes back too early has waited for nothing.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// RFC 6750, section 3: an error is named only when a token was sent.
fn challenge(code: &ErrorCode) -> &'static str {
    if *code == ErrorCode::INVALID_TOKEN || *code == ErrorCode::TOKEN_EXPIRED {
        "Bearer error=\"invalid_token\""
    } else {
        "Bearer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_response() {
        let error = ApiError::new(ErrorCode::CIRCUIT_OPEN, "Later").retry_after(Duration::from_millis(1_001));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(response.extensions().get::<ApiError>().unwrap().code(), &ErrorCode::CIRCUIT_OPEN);
    }

    #[test]
    fn an_unauthenticated_caller_is_told_the_scheme() {
        for (code, expected) in
            [(ErrorCode::UNAUTHENTICATED, "Bearer"), (ErrorCode::TOKEN_EXPIRED, "Bearer error=\"invalid_token\"")]
        {
            let response = ApiError::new(code, "No").into_response();
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], expected);
        }
    }
}
