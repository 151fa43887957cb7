use axum::extract::{OriginalUri, State};
use http::StatusCode;
use sap_comm::{
    ApiError, ErrorCode, ErrorEnvelope, Event, Page, Principal,
    rest::server::{Created, Json, PageResponse, Paged, Path, Valid, auth::CurrentUser},
};

use super::{NAME, State as Users};
use crate::{
    contract::{
        events::{USER_EVENTS, UserCreated, UserDeleted},
        rest::{CreateUser, Credentials, UpdateUser, User},
    },
    database::internal,
};

/// Lists users, oldest first.
#[utoipa::path(get, path = "/users", tag = "users",
    params(("page" = Option<u32>, Query, minimum = 1), ("limit" = Option<u32>, Query, minimum = 1, maximum = 100)), responses(
    (status = 200, description = "One page", body = Page<User>),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn list(
    State(users): State<Users>,
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<User>, ApiError> {
    let (data, total) = users.store.list(query).await.map_err(internal)?;
    Ok(PageResponse::new(Page::new(data, query, total), &uri))
}

/// One user: any for an admin, else oneself.
#[utoipa::path(get, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "The user")), responses(
    (status = 200, description = "The user", body = User),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn find(
    State(users): State<Users>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<String>,
) -> Result<Json<User>, ApiError> {
    may_see(&caller, &id)?;
    let user = users.store.find(&id).await.map_err(internal)?;
    user.map(Json).ok_or_else(|| ApiError::not_found("user", &id))
}

/// Creates a user, who can log in at once; the profile follows.
#[utoipa::path(post, path = "/users", tag = "users", request_body = CreateUser, responses(
    (status = 201, description = "The user", body = User),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn create(
    State(users): State<Users>,
    Valid(input): Valid<CreateUser>,
) -> Result<Created<User>, ApiError> {
    let CreateUser { email, password, profile, roles } = input;
    let email = email.trim().to_lowercase();
    let roles = roles.unwrap_or_else(|| vec!["user".into()]);
    // The address is reserved first: of two who want it, one goes on.
    let user = users.store.reserve(&email, &roles).await.map_err(internal)?.ok_or_else(|| email_taken(&email))?;
    let credentials = Credentials { email: email.clone(), password: Some(password), roles: roles.clone() };
    users.auth.put("/internal/v1/credentials/{}", [&user.id]).json(&credentials).send().await?;

    let mut tx = users.store.begin().await.map_err(internal)?;
    if !users.store.activate(&mut tx, &user.id).await.map_err(internal)? {
        return Err(email_taken(&email));
    }
    let event = Event::new(NAME, UserCreated { user_id: user.id.clone(), email, roles, profile });
    users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(Created::at(format!("/api/v1/users/{}", user.id), user))
}

/// Changes a user; what is absent stays.
#[utoipa::path(put, path = "/users/{id}", tag = "users", request_body = UpdateUser,
    params(("id" = String, Path, description = "The user")), responses(
    (status = 200, description = "The user", body = User),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn update(
    State(users): State<Users>,
    Path(id): Path<String>,
    Valid(mut input): Valid<UpdateUser>,
) -> Result<Json<User>, ApiError> {
    let old = users.store.find(&id).await.map_err(internal)?.ok_or_else(|| ApiError::not_found("user", &id))?;
    input.email = input.email.map(|email| email.trim().to_lowercase());
    if input.email.is_some() || input.roles.is_some() {
        let email = input.email.clone().unwrap_or(old.email);
        let roles = input.roles.clone().unwrap_or(old.roles);
        let credentials = Credentials { email, password: None, roles };
        users.auth.put("/internal/v1/credentials/{}", [&id]).json(&credentials).send().await?;
    }
    match users.store.update(&id, &input).await.map_err(internal)? {
        Some(Ok(user)) => Ok(Json(user)),
        Some(Err(())) => Err(email_taken(input.email.as_deref().unwrap_or_default())),
        None => Err(ApiError::not_found("user", &id)),
    }
}

/// Deletes a user, who can log in no more.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Deleted"),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn delete(State(users): State<Users>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    users.store.find(&id).await.map_err(internal)?.ok_or_else(|| ApiError::not_found("user", &id))?;
    users.auth.delete("/internal/v1/credentials/{}", [&id]).send().await?;
    let mut tx = users.store.begin().await.map_err(internal)?;
    if users.store.delete(&mut tx, &id).await.map_err(internal)? {
        let event = Event::new(NAME, UserDeleted { user_id: id });
        users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    }
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// An admin sees everybody, a service with the scope too, and everybody themselves.
pub(super) fn may_see(caller: &Principal, user_id: &str) -> Result<(), ApiError> {
    if caller.has_role("admin") || caller.has_scope("users:read") || caller.id == user_id {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::FORBIDDEN, "You may see your own account only"))
}

fn email_taken(email: &str) -> ApiError {
    ApiError::new(ErrorCode::ALREADY_EXISTS.of("email"), "A user with this address exists already")
        .detail("email", email)
}
