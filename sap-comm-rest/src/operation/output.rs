//! What operations answer with: made by servers, read by clients, described in documents.

use std::future::Future;

use axum::response::IntoResponse;
use http::StatusCode;
use sap_comm_core::{Page, Pagination};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use utoipa::ToSchema;

use super::Description;
use crate::{
    client::{ClientError, Response},
    server::{Created, Json, NoContent, PageResponse, Streamed},
};

/// What an operation answers with when it succeeds, such as `Json<User>` or `Created<User>`.
pub trait Output: IntoResponse + 'static {
    /// What a client gets of it.
    type Value: Send + 'static;

    /// Whether the client reads the whole body within the attempt, so that a broken one is tried again.
    const WHOLE: bool = true;

    /// Says what it is.
    fn describe(description: &mut Description);

    /// Reads it from a response.
    fn read(response: Response) -> impl Future<Output = Result<Self::Value, ClientError>> + Send;
}

impl<T: Serialize + DeserializeOwned + ToSchema + Send + 'static> Output for Json<T> {
    type Value = T;

    fn describe(description: &mut Description) {
        let schema = description.schema::<T>();
        description.answer(StatusCode::OK, "Done.");
        description.content(StatusCode::OK, "application/json", schema);
    }

    async fn read(response: Response) -> Result<T, ClientError> {
        response.json().await
    }
}

impl<T: Serialize + DeserializeOwned + ToSchema + Send + 'static> Output for Created<T> {
    type Value = T;

    fn describe(description: &mut Description) {
        let schema = description.schema::<T>();
        description.answer(StatusCode::CREATED, "Made.");
        description.content(StatusCode::CREATED, "application/json", schema);
        let uri = json!({"type": "string", "format": "uri-reference"});
        description.header(StatusCode::CREATED, "location", "Where it is.", uri);
    }

    async fn read(response: Response) -> Result<T, ClientError> {
        response.json().await
    }
}

impl Output for NoContent {
    type Value = ();

    fn describe(description: &mut Description) {
        description.answer(StatusCode::NO_CONTENT, "Done.");
    }

    async fn read(response: Response) -> Result<(), ClientError> {
        drop(response);
        Ok(())
    }
}

/// The client reads the body as it arrives.
impl Output for Streamed {
    type Value = Response;

    const WHOLE: bool = false;

    fn describe(description: &mut Description) {
        description.answer(StatusCode::OK, "Done.");
        description.content(StatusCode::OK, "*/*", json!({}));
    }

    async fn read(response: Response) -> Result<Response, ClientError> {
        Ok(response)
    }
}

impl<T: Serialize + DeserializeOwned + ToSchema + Send + 'static> Output for PageResponse<T> {
    type Value = Page<T>;

    fn describe(description: &mut Description) {
        let (item, pagination) = (description.schema::<T>(), description.schema::<Pagination>());
        let page = json!({
            "type": "object",
            "required": ["data", "pagination"],
            "properties": {"data": {"type": "array", "items": item}, "pagination": pagination},
        });
        let page = description.named_schema(&format!("PageOf{}", T::name()), page);
        description.answer(StatusCode::OK, "One page.");
        description.content(StatusCode::OK, "application/json", page);
        description.header(
            StatusCode::OK,
            "link",
            "The neighbours of the page (RFC 8288): `first`, `prev`, `next`, `last`.",
            json!({"type": "string"}),
        );
    }

    async fn read(response: Response) -> Result<Page<T>, ClientError> {
        response.json().await
    }
}
