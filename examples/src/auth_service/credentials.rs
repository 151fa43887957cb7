use axum::extract::State;
use sap_comm::{
    ApiError, Event,
    events::HandlerError,
    rest::{
        operation::ResourceId,
        server::{NoContent, Path, Valid},
    },
};

use super::{State as Auth, normalised, store::Store};
use crate::{
    contract::{
        events::{UserCreated, UserUpdated},
        rest::Credentials,
    },
    database::internal,
};

/// Keeps how a new user will log in, once activated. For the user service.
pub(super) async fn prepare(
    State(auth): State<Auth>,
    Path(user_id): Path<ResourceId>,
    Valid(input): Valid<Credentials>,
) -> Result<NoContent, ApiError> {
    let hash = auth.passwords.hash(input.password).await?;
    auth.store.prepare(&user_id, &normalised(&input.email), &hash, &input.roles).await.map_err(internal)?;
    Ok(NoContent)
}

/// Lets a new user log in from now on. For the user service; `user.created` does the same a little later.
pub(super) async fn activate(State(auth): State<Auth>, Path(user_id): Path<ResourceId>) -> Result<NoContent, ApiError> {
    if auth.store.activate(&user_id).await.map_err(internal)? {
        return Ok(NoContent);
    }
    Err(ApiError::not_found("credentials", &user_id))
}

/// Forgets how a user logs in. For the user service.
pub(super) async fn delete(State(auth): State<Auth>, Path(user_id): Path<ResourceId>) -> Result<NoContent, ApiError> {
    auth.store.delete(&user_id).await.map_err(internal)?;
    Ok(NoContent)
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
