use axum::extract::FromRequestParts;
use http::request::Parts;
use sap_comm_core::{ApiError, ErrorCode, PageQuery};

use super::query;

/// Which page was asked for with `?page=…&limit=…`, within its bounds; answer with [`PageResponse`].
///
/// ```
/// use axum::extract::OriginalUri;
/// # use sap_comm_core::ApiError;
/// use sap_comm_core::Page;
/// use sap_comm_rest::server::{PageResponse, Paged};
///
/// # async fn load(offset: u64, limit: u32) -> Result<(Vec<String>, u64), ApiError> { Ok((vec![], 0)) }
/// async fn list(OriginalUri(uri): OriginalUri, Paged(query): Paged) -> Result<PageResponse<String>, ApiError> {
///     let (names, total) = load(query.offset(), query.limit).await?;
///     Ok(PageResponse::new(Page::new(names, query, total), &uri))
/// }
/// ```
///
/// [`PageResponse`]: crate::server::PageResponse
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paged(pub PageQuery);

impl<S: Send + Sync> FromRequestParts<S> for Paged {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query: PageQuery = query::parse(parts.uri.query().unwrap_or_default())?;
        query.validate().map(Self).map_err(|(parameter, reason)| {
            let message = format!("The query parameter {parameter} is not valid: {reason}");
            ApiError::new(ErrorCode::INVALID_ARGUMENT, message).detail("parameter", parameter)
        })
    }
}
