use axum::extract::{FromRequestParts, Path as AxumPath, path::ErrorKind, rejection::PathRejection};
use http::request::Parts;
use sap_comm_core::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;

use super::shortened;

/// The parameters of the path, such as `Path<u64>` or `Path<(String, u32)>`; an invalid one is `INVALID_ARGUMENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match AxumPath::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(rejection)),
        }
    }
}

fn refusal(rejection: PathRejection) -> ApiError {
    let PathRejection::FailedToDeserializePathParams(inner) = rejection else {
        return ApiError::internal(rejection);
    };
    let kind = inner.into_kind();
    let key = match &kind {
        ErrorKind::ParseErrorAtKey { key, .. }
        | ErrorKind::InvalidUtf8InPathParam { key }
        | ErrorKind::DeserializeError { key, .. } => Some(key.clone()),
        // The handler asks for what the route does not give.
        ErrorKind::WrongNumberOfParameters { .. } | ErrorKind::UnsupportedType { .. } => {
            return ApiError::internal(kind.to_string());
        }
        _ => None,
    };
    let text = kind.to_string();
    let error =
        ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("A path parameter is not valid: {}", shortened(&text)));
    match key {
        Some(key) => error.detail("parameter", key),
        None => error,
    }
}
