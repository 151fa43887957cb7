use axum::extract::{OriginalUri, State};
use http::StatusCode;
use sap_comm::{
    ApiError, ErrorCode, Event, Page, PageQuery, Principal,
    rest::server::{Created, Json, PageResponse, Paged, Path, Valid, auth::CurrentUser},
};

use super::{NAME, State as Users, store::Updated};
use crate::{
    contract::{
        events::{USER_EVENTS, UserCreated, UserDeleted, UserUpdated},
        rest::{CreateUser, Credentials, Refusal, UpdateUser, User},
    },
    database::internal,
};

/// Lists users, oldest first.
#[utoipa::path(get, path = "/users", tag = "users",
    params(PageQuery), responses(
    (status = 200, description = "One page", body = Page<User>),
    Refusal,
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
    Refusal,
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
    Refusal,
))]
pub(super) async fn create(
    State(users): State<Users>,
    Valid(input): Valid<CreateUser>,
) -> Result<Created<User>, ApiError> {
    let CreateUser { email, password, profile, roles } = input;
    let email = email.trim().to_lowercase();
    let roles = roles.unwrap_or_else(|| vec!["user".into()]);
    // Of several who want the address at once, only the last one's reservation can be activated; nobody can log in with
    // the credentials of the others.
    let user = users.store.reserve(&email, &roles).await.map_err(internal)?.ok_or_else(|| email_taken(&email))?;
    let credentials = Credentials { email: email.clone(), password, roles: roles.clone() };
    users.auth.put("/internal/v1/credentials/{}", [&user.id]).json(&credentials).send().await?;

    let mut tx = users.store.begin().await.map_err(internal)?;
    if !users.store.activate(&mut tx, &user.id).await.map_err(internal)? {
        drop(tx);
        if let Err(error) = users.auth.delete("/internal/v1/credentials/{}", [&user.id]).send().await {
            tracing::warn!(%error, user_id = user.id, "unused credentials stay until they expire");
        }
        return Err(email_taken(&email));
    }
    let event = Event::new(NAME, UserCreated { user_id: user.id.clone(), email, roles, profile });
    users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    // The user exists from here on; the event does this too, should it fail now.
    if let Err(error) = users.auth.put("/internal/v1/credentials/{}/activation", [&user.id]).send().await {
        tracing::warn!(%error, user_id = user.id, "the user can log in once auth-service has seen user.created");
    }
    Ok(Created::at(format!("/api/v1/users/{}", user.id), user))
}

/// Changes a user; what is absent stays. The next login has the new address and roles once auth-service has seen
/// `user.updated`.
#[utoipa::path(put, path = "/users/{id}", tag = "users", request_body = UpdateUser,
    params(("id" = String, Path, description = "The user")), responses(
    (status = 200, description = "The user", body = User),
    Refusal,
))]
pub(super) async fn update(
    State(users): State<Users>,
    Path(id): Path<String>,
    Valid(mut input): Valid<UpdateUser>,
) -> Result<Json<User>, ApiError> {
    input.email = input.email.map(|email| email.trim().to_lowercase());
    let mut tx = users.store.begin().await.map_err(internal)?;
    let (user, version) = match users.store.update(&mut tx, &id, &input).await.map_err(internal)? {
        Updated::To { user, version } => (user, version),
        Updated::EmailTaken => return Err(email_taken(input.email.as_deref().unwrap_or_default())),
        Updated::Unknown => return Err(ApiError::not_found("user", &id)),
    };
    if input.email.is_some() || input.roles.is_some() {
        let payload = UserUpdated { user_id: id, email: user.email.clone(), roles: user.roles.clone(), version };
        let event = Event::new(NAME, payload);
        users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    }
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(Json(user))
}

/// Deletes a user, who can log in no more.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", params(("id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Deleted"),
    Refusal,
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
