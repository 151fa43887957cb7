use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use sap_comm_core::{ApiError, Context, ErrorCode, header::REQUEST_ID};
use serde::Serialize;
use serde_json::{Map, Value};

use super::accept::MediaType;
use crate::{error::GraphqlError, execute::Outcome};

#[derive(Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<async_graphql::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<GraphqlError>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extensions: Map<String, Value>,
}

/// Writes an outcome, with the status that the media type asks for.
pub(super) fn respond(media: MediaType, outcome: Outcome, context: &Context) -> Response {
    let mut headers = Vec::new();
    let (status, body) = match outcome {
        Outcome::Executed { data, errors, extensions } => {
            (StatusCode::OK, Body { data: Some(data), errors, extensions })
        }
        Outcome::Invalid(errors) => (media.status_of_invalid(), errors_only(errors)),
        Outcome::Refused(error) => {
            headers = hints(&error);
            (error.status(), errors_only(vec![GraphqlError::of(&error, context)]))
        }
    };
    let (status, bytes) = match serde_json::to_vec(&body) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, request_id = %context.request_id(), "the response could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, br#"{"errors":[{"message":"Internal server error"}]}"#.to_vec())
        }
    };
    let mut response = (status, bytes).into_response();
    let own = response.headers_mut();
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    own.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    own.insert(header::VARY, HeaderValue::from_static("accept"));
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        own.insert(REQUEST_ID, id);
    }
    own.extend(headers);
    response
}

fn errors_only(errors: Vec<GraphqlError>) -> Body {
    Body { data: None, errors, extensions: Map::new() }
}

/// What the status obliges us to say in headers.
fn hints(error: &ApiError) -> Vec<(HeaderName, HeaderValue)> {
    let mut hints = Vec::new();
    match error.status() {
        StatusCode::METHOD_NOT_ALLOWED => hints.push((header::ALLOW, HeaderValue::from_static("GET, POST"))),
        StatusCode::UNAUTHORIZED if *error.code() == ErrorCode::UNAUTHENTICATED => {
            hints.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        StatusCode::UNAUTHORIZED => {
            hints.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\"")));
        }
        _ => {}
    }
    if let Some(after) = error.retry_after_hint() {
        hints.push((header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1))));
    }
    hints
}

impl MediaType {
    fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    fn status_of_invalid(self) -> StatusCode {
        match self {
            Self::GraphqlResponse => StatusCode::BAD_REQUEST,
            Self::Json => StatusCode::OK,
        }
    }
}
