use axum::extract::State;
use http::StatusCode;
use sap_comm::{
    ApiError, Event,
    events::HandlerError,
    rest::server::{Path, Valid},
};

use super::{State as Auth, normalised, store::Store};
use crate::{
    contract::{
        events::{UserCreated, UserUpdated},
        rest::{Credentials, Refusal},
    },
    database::internal,
};

/// Keeps how a new user will log in, once activated. For the user service.
#[utoipa::path(put, path = "/credentials/{user_id}", tag = "internal", request_body = Credentials,
    params(("user_id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Kept"),
    Refusal,
))]
pub(super) async fn prepare(
    State(auth): State<Auth>,
    Path(user_id): Path<String>,
    Valid(input): Valid<Credentials>,
) -> Result<StatusCode, ApiError> {
    let hash = auth.passwords.hash(input.password).await?;
    auth.store.prepare(&user_id, &normalised(&input.email), &hash, &input.roles).await.map_err(internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a new user log in from now on. For the user service; `user.created` does the same a little later.
#[utoipa::path(put, path = "/credentials/{user_id}/activation", tag = "internal",
    params(("user_id" = String, Path, description = "The user")), responses(
    (status = 204, description = "The user may log in"),
    Refusal,
))]
pub(super) async fn activate(State(auth): State<Auth>, Path(user_id): Path<String>) -> Result<StatusCode, ApiError> {
    if auth.store.activate(&user_id).await.map_err(internal)? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("credentials", &user_id))
}

/// Forgets how a user logs in. For the user service.
#[utoipa::path(delete, path = "/credentials/{user_id}", tag = "internal",
    params(("user_id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Forgotten, or never known"),
    Refusal,
))]
pub(super) async fn delete(State(auth): State<Auth>, Path(user_id): Path<String>) -> Result<StatusCode, ApiError> {
    auth.store.delete(&user_id).await.map_err(internal)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Activates what the user service could not activate itself. Repeated, it does nothing.
pub(super) async fn created(store: Store, event: Event<UserCreated>) -> Result<(), HandlerError> {
    if !store.activate(&event.data.user_id).await? {
        tracing::info!(user_id = event.data.user_id, "no credentials to activate: the user is deleted");
    }
    Ok(())
}

/// Follows a change of address or roles. Repeated, it does nothing.
pub(super) async fn updated(store: Store, event: Event<UserUpdated>) -> Result<(), HandlerError> {
    if !store.update(&event.data).await? {
        tracing::info!(user_id = event.data.user_id, "an outdated change, or of a deleted user");
    }
    Ok(())
}
