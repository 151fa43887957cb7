use axum::{
    RequestExt,
    extract::{FromRequestParts, Request},
};
use http::request::Parts;
use sap_comm_core::{ApiError, ErrorCode, PageQuery};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    operation::{Argument, Description, InputPart, RequestParts},
    server::parse_query,
};

/// Which page of a list is asked for: `?cursor=…&limit=10`, from the beginning without a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CursorQuery {
    /// Where the page begins, as the page before said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Items a page, from 1 to [`PageQuery::MAX_LIMIT`].
    pub limit: u32,
}

/// The longest cursor that is looked at.
const MAX_CURSOR: usize = 2_048;

impl Default for CursorQuery {
    fn default() -> Self {
        Self { cursor: None, limit: PageQuery::default().limit }
    }
}

impl CursorQuery {
    /// The first page, of so many items.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { cursor: None, limit }
    }

    fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let read: Self = parse_query(query.unwrap_or_default())?;
        let refused = |parameter: &str, reason: String| {
            let message = format!("The query parameter {parameter} is not valid: {reason}");
            Err(ApiError::new(ErrorCode::INVALID_ARGUMENT, message).detail("parameter", parameter))
        };
        if !(1..=PageQuery::MAX_LIMIT).contains(&read.limit) {
            return refused("limit", format!("must be from 1 to {}, got {}", PageQuery::MAX_LIMIT, read.limit));
        }
        match &read.cursor {
            Some(cursor) if cursor.is_empty() || cursor.len() > MAX_CURSOR => {
                refused("cursor", format!("must have from 1 to {MAX_CURSOR} characters"))
            }
            _ => Ok(read),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CursorQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::read(parts.uri.query())
    }
}

impl InputPart for CursorQuery {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        let cursor = json!({"type": "string", "minLength": 1, "maxLength": MAX_CURSOR});
        description.query_parameter("cursor", "Where the page begins, as the page before said it.", false, cursor);
        let limit = json!({"type": "integer", "minimum": 1, "maximum": PageQuery::MAX_LIMIT, "default": 10});
        description.query_parameter("limit", "Items a page.", false, limit);
        description
            .fails(&ErrorCode::INVALID_ARGUMENT, "A query parameter is not valid, or the cursor is not of this list.");
    }
}

impl Argument<Self> for CursorQuery {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.query(&self));
    }
}
