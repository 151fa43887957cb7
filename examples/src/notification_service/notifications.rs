use axum::extract::{OriginalUri, State};
use http::StatusCode;
use sap_comm::{
    ApiError, Page, PageQuery,
    rest::server::{Json, PageResponse, Paged, Path, auth::CurrentUser},
};

use super::store::Store;
use crate::{
    contract::rest::{Notification, Refusal},
    database::internal,
};

/// Lists one's own notifications, newest first.
#[utoipa::path(get, path = "/notifications", tag = "notifications",
    params(PageQuery), responses(
    (status = 200, description = "One page", body = Page<Notification>),
    Refusal,
))]
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
#[utoipa::path(get, path = "/notifications/{id}", tag = "notifications",
    params(("id" = String, Path, description = "The notification")), responses(
    (status = 200, description = "The notification", body = Notification),
    Refusal,
))]
pub(super) async fn find(
    State(store): State<Store>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<String>,
) -> Result<Json<Notification>, ApiError> {
    let found = store.find(&caller.id, &id).await.map_err(internal)?;
    found.map(Json).ok_or_else(|| ApiError::not_found("notification", &id))
}

/// Marks one of one's own notifications as read.
#[utoipa::path(post, path = "/notifications/{id}/read", tag = "notifications",
    params(("id" = String, Path, description = "The notification")), responses(
    (status = 204, description = "Read"),
    Refusal,
))]
pub(super) async fn read(
    State(store): State<Store>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if store.mark_read(&caller.id, &id).await.map_err(internal)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("notification", &id))
}
