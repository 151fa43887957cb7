use axum::extract::{OriginalUri, State};
use sap_comm::{
    ApiError, Event, Page,
    rest::{
        cursor::{CursorPageResponse, CursorQuery},
        operation::{ErrorCodes, ResourceId},
        server::{Created, Json, PageResponse, Paged, Path, Valid},
    },
};

use super::{NAME, State as Contents, store::Position};
use crate::{
    contract::{
        api::ContentError,
        events::{CONTENT_EVENTS, ContentPublished},
        rest::{Content, CreateContent},
    },
    database::internal,
};

/// Lists content, newest first.
pub(super) async fn list(
    State(contents): State<Contents>,
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<Content>, ApiError> {
    let (data, total) = contents.store.list(query).await.map_err(internal)?;
    Ok(PageResponse::new(Page::new(data, query, total), &uri))
}

/// Lists content, newest first, from where the last page ended.
pub(super) async fn list_on(
    State(contents): State<Contents>,
    OriginalUri(uri): OriginalUri,
    query: CursorQuery,
) -> Result<CursorPageResponse<Content>, ApiError> {
    let after: Option<Position> = contents.cursors.open(&query, &uri)?;
    let (data, last) = contents.store.list_after(after, query.limit).await.map_err(internal)?;
    let next = last.map(|position| contents.cursors.seal(&position, &uri)).transpose()?;
    Ok(CursorPageResponse::new(data, &query, &uri).next(next))
}

/// One piece of content.
pub(super) async fn find(
    State(contents): State<Contents>,
    Path(id): Path<ResourceId>,
) -> Result<Json<Content>, ApiError> {
    let content = contents.store.find(&id).await.map_err(internal)?;
    content.map(Json).ok_or_else(|| ApiError::not_found("content", &id))
}

/// Drafts content.
pub(super) async fn create(
    State(contents): State<Contents>,
    Valid(input): Valid<CreateContent>,
) -> Result<Created<Content>, ApiError> {
    let content = contents.store.create(input).await.map_err(internal)?;
    Ok(Created::at(format!("/api/v1/contents/{}", content.id), content))
}

/// Publishes a draft, and tells its audience.
pub(super) async fn publish(
    State(contents): State<Contents>,
    Path(id): Path<ResourceId>,
) -> Result<Json<Content>, ApiError> {
    let found = contents.store.find(&id).await.map_err(internal)?;
    let content = found.ok_or_else(|| ApiError::not_found("content", &id))?;
    let mut tx = contents.store.begin().await.map_err(internal)?;
    if !contents.store.publish(&mut tx, &id).await.map_err(internal)? {
        let message = "The content is published already";
        return Err(ContentError::Published.error(message).detail("contentId", id.as_str()));
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
