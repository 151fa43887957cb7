use axum::extract::{OriginalUri, State};
use sap_comm::{
    ApiError, ErrorCode, Event, Page, PageQuery,
    rest::server::{Created, Json, PageResponse, Paged, Path, Valid},
};

use super::{NAME, State as Contents};
use crate::{
    contract::{
        events::{CONTENT_EVENTS, ContentPublished},
        rest::{Content, CreateContent, Refusal},
    },
    database::internal,
};

/// Lists content, newest first.
#[utoipa::path(get, path = "/contents", tag = "contents",
    params(PageQuery), responses(
    (status = 200, description = "One page", body = Page<Content>),
    Refusal,
))]
pub(super) async fn list(
    State(contents): State<Contents>,
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<Content>, ApiError> {
    let (data, total) = contents.store.list(query).await.map_err(internal)?;
    Ok(PageResponse::new(Page::new(data, query, total), &uri))
}

/// One piece of content.
#[utoipa::path(get, path = "/contents/{id}", tag = "contents",
    params(("id" = String, Path, description = "The content")), responses(
    (status = 200, description = "The content", body = Content),
    Refusal,
))]
pub(super) async fn find(State(contents): State<Contents>, Path(id): Path<String>) -> Result<Json<Content>, ApiError> {
    let content = contents.store.find(&id).await.map_err(internal)?;
    content.map(Json).ok_or_else(|| ApiError::not_found("content", &id))
}

/// Drafts content.
#[utoipa::path(post, path = "/contents", tag = "contents", request_body = CreateContent, responses(
    (status = 201, description = "The draft", body = Content),
    Refusal,
))]
pub(super) async fn create(
    State(contents): State<Contents>,
    Valid(input): Valid<CreateContent>,
) -> Result<Created<Content>, ApiError> {
    let content = contents.store.create(input).await.map_err(internal)?;
    Ok(Created::at(format!("/api/v1/contents/{}", content.id), content))
}

/// Publishes a draft, and tells its audience.
#[utoipa::path(post, path = "/contents/{id}/publish", tag = "contents",
    params(("id" = String, Path, description = "The draft")), responses(
    (status = 200, description = "The content", body = Content),
    Refusal,
))]
pub(super) async fn publish(
    State(contents): State<Contents>,
    Path(id): Path<String>,
) -> Result<Json<Content>, ApiError> {
    let found = contents.store.find(&id).await.map_err(internal)?;
    let content = found.ok_or_else(|| ApiError::not_found("content", &id))?;
    let mut tx = contents.store.begin().await.map_err(internal)?;
    if !contents.store.publish(&mut tx, &id).await.map_err(internal)? {
        let message = "The content is published already";
        return Err(ApiError::new(ErrorCode::CONFLICT.of("content"), message).detail("contentId", id));
    }
    let payload = ContentPublished {
        content_id: content.id.clone(),
        title: content.title.clone(),
        audience: content.audience.clone(),
    };
    let event = Event::new(NAME, payload);
    contents.outbox.write(&mut tx, CONTENT_EVENTS, &event).await.map_err(ApiError::internal)?;
    contents.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(Json(Content { status: "published".into(), ..content }))
}
