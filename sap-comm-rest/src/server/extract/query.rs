use axum::extract::FromRequestParts;
use http::request::Parts;
use sap_comm_core::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::shortened;

/// The query's parameters as a struct; an invalid one is `INVALID_ARGUMENT` and named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

pub(crate) fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(parser).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        let reason = shortened(&reason);
        if path == "." {
            return ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("The query is not valid: {reason}"));
        }
        let path = shortened(&path);
        ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("The query parameter {path} is not valid: {reason}"))
            .detail("parameter", path)
    })
}
