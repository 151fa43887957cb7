use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sap_comm_core::ApiError;
use serde::{Serialize, de::DeserializeOwned};

use super::body;

/// A JSON body: taken strictly, and sent.
///
/// The content type must be JSON (415 otherwise); what cannot be parsed is `MALFORMED_BODY` with its line, column and
/// path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> Json<T> {
    /// Reads a body as the extractor does, for tests of what a service takes.
    ///
    /// # Errors
    /// `MALFORMED_BODY`.
    pub fn from_slice(body: &[u8]) -> Result<Self, ApiError> {
        body::parse(body).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body::read(request, state).await?;
        body::parse(&bytes).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}
