use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ErrorCode;
use crate::{Context, Timestamp};

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error that a caller may see: a code, a message and details; its cause stays inside.
///
/// ```
/// use sap_comm_core::ApiError;
///
/// let error = ApiError::not_found("user", "123");
/// assert_eq!(error.code().as_str(), "USER_NOT_FOUND");
/// assert_eq!(error.message(), "User with ID 123 not found");
/// assert_eq!(error.details()["userId"], "123");
/// ```
#[derive(Clone)]
pub struct ApiError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    status: StatusCode,
    message: String,
    details: Map<String, Value>,
    retry_after: Option<Duration>,
    request_id: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error with a code and a message for people. The message leaves the service: no internals.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = code.status();
        let message = message.into();
        Self(Box::new(Inner {
            code,
            status,
            message,
            details: Map::new(),
            retry_after: None,
            request_id: None,
            source: None,
        }))
    }

    /// `{SUBJECT}_NOT_FOUND` with the id in its message and details, as in the specification.
    #[must_use]
    pub fn not_found(subject: &str, id: &str) -> Self {
        let mut name = subject.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(ErrorCode::NOT_FOUND.of(subject), format!("{name} with ID {id} not found"))
            .detail(&format!("{subject}Id"), id)
    }

    /// `INTERNAL_ERROR`: the cause goes to the log, the caller learns the request id only.
    #[must_use]
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::new(ErrorCode::INTERNAL_ERROR, "Internal server error").caused_by(source)
    }

    /// Adds one detail.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Says when a retry may succeed; becomes `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Keeps the cause for the log; it is never sent.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &ErrorCode {
        &self.0.code
    }

    /// The HTTP status: the code's, or the one that a peer answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// When a retry may succeed.
    #[must_use]
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The request id that a peer reported with the error.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The envelope to send, for the request of `context`.
    #[must_use]
    pub fn envelope(&self, context: &Context) -> ErrorEnvelope {
        ErrorEnvelope {
            error: ErrorBody {
                code: self.0.code.clone(),
                message: self.0.message.clone(),
                details: self.0.details.clone(),
                timestamp: Timestamp::now(),
                request_id: context.request_id().to_owned(),
            },
        }
    }

    /// The error that a peer sent with `status`.
    #[must_use]
    pub fn from_envelope(envelope: ErrorEnvelope, status: StatusCode) -> Self {
        let ErrorBody { code, message, details, request_id, .. } = envelope.error;
        let mut error = Self::new(code, message);
        error.0.status = status;
        error.0.details = details;
        error.0.request_id = Some(request_id);
        error
    }

    /// The error that stands for a peer's `status` without an envelope.
    #[must_use]
    pub fn from_status(status: StatusCode) -> Self {
        let mut error = Self::new(ErrorCode::from_status(status), status.canonical_reason().unwrap_or("Unknown error"));
        error.0.status = status;
        error
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ApiError");
        debug.field("code", &self.0.code).field("status", &self.0.status.as_u16()).field("message", &self.0.message);
        if !self.0.details.is_empty() {
            debug.field("details", &self.0.details);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish_non_exhaustive()
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// The one shape of an error on every wire: `{"error": {code, message, details, timestamp, requestId}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEnvelope {
    /// The error.
    pub error: ErrorBody,
}

/// What an [`ErrorEnvelope`] holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The code, in SCREAMING_SNAKE_CASE.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "USER_NOT_FOUND"))]
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// Facts about the error, such as the invalid fields.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub details: Map<String, Value>,
    /// When it happened.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub timestamp: Timestamp,
    /// Finds the request in the logs.
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_example_is_read_and_written_byte_for_byte() {
        let text = r#"{"error":{"code":"USER_NOT_FOUND","message":"User with ID 123 not found","details":{"userId":"123"},"timestamp":"2025-05-19T18:30:00.000Z","requestId":"req_abcdef123"}}"#;
        let envelope: ErrorEnvelope = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&envelope).unwrap(), text);
        let error = ApiError::from_envelope(envelope, StatusCode::NOT_FOUND);
        let own = ApiError::not_found("user", "123");
        assert_eq!((error.code(), error.message(), error.details()), (own.code(), own.message(), own.details()));
    }

    #[test]
    fn the_cause_stays_inside() {
        let error = ApiError::internal("password=hunter2");
        let json = serde_json::to_string(&error.envelope(&Context::root())).unwrap();
        assert!(!json.contains("hunter2") && !error.to_string().contains("hunter2"));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "password=hunter2");
    }
}
