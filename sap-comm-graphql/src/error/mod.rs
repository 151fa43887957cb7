//! Errors as GraphQL has them: a message, a place, and the envelope's facts as `extensions`.

mod mask;

use async_graphql::{PathSegment, Pos};
use http::StatusCode;
use sap_comm_core::{ApiError, Context, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(crate) use self::mask::map;

/// One error of a response.
#[derive(Debug, Serialize)]
pub(crate) struct GraphqlError {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Pos>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<PathSegment>,
    extensions: Map<String, Value>,
}

impl GraphqlError {
    /// The error that a caller sees of `error`.
    pub(crate) fn of(error: &ApiError, context: &Context) -> Self {
        Self::with_status(error, error.status(), context)
    }

    fn with_status(error: &ApiError, status: StatusCode, context: &Context) -> Self {
        let mut extensions = Map::new();
        extensions.insert("code".into(), error.code().as_str().into());
        extensions.insert("http".into(), json!({ "status": status.as_u16() }));
        extensions.insert("requestId".into(), context.request_id().into());
        extensions.insert("timestamp".into(), Timestamp::now().to_string().into());
        extensions.insert("details".into(), Value::Object(error.details().clone()));
        Self { message: error.message().to_owned(), locations: Vec::new(), path: Vec::new(), extensions }
    }

    pub(crate) fn at(mut self, locations: Vec<Pos>, path: Vec<PathSegment>) -> Self {
        self.locations = locations;
        self.path = path;
        self
    }
}
