use axum::extract::{OriginalUri, State};
use sap_comm::{
    ApiError, Page,
    rest::{
        operation::ResourceId,
        server::{Json, NoContent, PageResponse, Paged, Path, auth::CurrentUser},
    },
};

use super::store::Store;
use crate::{contract::rest::Notification, database::internal};

/// Lists one's own notifications, newest first.
pub(super) async fn list(
    State(store): State<Store>,
    CurrentUser(caller): CurrentUser,
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<Notification>, ApiError> {
    let (data, total) = store.list(&caller.id, query).await.map_err(internal)?;
    Ok(PageResponse::new(Page::new(data, query, total), &uri))
}

/// One of one's own notifications.
pub(super) async fn find(
    State(store): State<Store>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<ResourceId>,
) -> Result<Json<Notification>, ApiError> {
    let found = store.find(&caller.id, &id).await.map_err(internal)?;
    found.map(Json).ok_or_else(|| ApiError::not_found("notification", &id))
}

/// Marks one of one's own notifications as read.
pub(super) async fn read(
    State(store): State<Store>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<ResourceId>,
) -> Result<NoContent, ApiError> {
    if store.mark_read(&caller.id, &id).await.map_err(internal)? {
        return Ok(NoContent);
    }
    Err(ApiError::not_found("notification", &id))
}
