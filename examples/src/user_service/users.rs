use axum::extract::{OriginalUri, State};
use sap_comm::{
    ApiError, Event, Page, Principal,
    rest::{
        conditional::{Preconditions, Tagged},
        operation::{ErrorCodes, ResourceId},
        server::{Created, Json, NoContent, PageResponse, Paged, Path, Valid, auth::CurrentUser},
    },
};

use super::{
    NAME, State as Users,
    store::{Updated, Versioned, tag},
};
use crate::{
    contract::{
        api::{ACTIVATE_CREDENTIALS, DELETE_CREDENTIALS, PREPARE_CREDENTIALS, UserError},
        events::{USER_EVENTS, UserCreated, UserDeleted, UserUpdated},
        rest::{CreateUser, Credentials, UpdateUser, User},
    },
    database::internal,
};

/// The version of a user who was just made.
const NEW: i64 = 1;

/// Lists users, oldest first.
pub(super) async fn list(
    State(users): State<Users>,
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
) -> Result<PageResponse<User>, ApiError> {
    let (data, total) = users.store.list(query).await.map_err(internal)?;
    Ok(PageResponse::new(Page::new(data, query, total), &uri))
}

/// One user: any for an admin or a service with the scope users:read, else oneself.
pub(super) async fn find(
    State(users): State<Users>,
    CurrentUser(caller): CurrentUser,
    Path(id): Path<ResourceId>,
) -> Result<Tagged<Json<User>>, ApiError> {
    may_see(&caller, &id)?;
    let found = users.store.find(&id).await.map_err(internal)?.ok_or_else(|| ApiError::not_found("user", &id))?;
    Ok(Tagged(found.tag(), Json(found.user)))
}

/// Creates a user, who can log in at once; the profile follows.
pub(super) async fn create(
    State(users): State<Users>,
    Valid(input): Valid<CreateUser>,
) -> Result<Tagged<Created<User>>, ApiError> {
    let CreateUser { email, password, profile, roles } = input;
    let email = email.trim().to_lowercase();
    let roles = roles.unwrap_or_else(|| vec!["user".into()]);
    // Of several who want the address at once, only the last one's reservation can be activated; nobody can log in with
    // the credentials of the others.
    let user = users.store.reserve(&email, &roles).await.map_err(internal)?.ok_or_else(|| email_taken(&email))?;
    let credentials = Credentials { email: email.clone(), password, roles: roles.clone() };
    users.auth.call(&PREPARE_CREDENTIALS, (user.id.as_str(), &credentials)).await?;

    let mut tx = users.store.begin().await.map_err(internal)?;
    if !users.store.activate(&mut tx, &user.id).await.map_err(internal)? {
        drop(tx);
        if let Err(error) = users.auth.call(&DELETE_CREDENTIALS, (user.id.as_str(),)).await {
            tracing::warn!(%error, user_id = user.id, "unused credentials stay until they expire");
        }
        return Err(email_taken(&email));
    }
    let event = Event::new(NAME, UserCreated { user_id: user.id.clone(), email, roles, profile });
    users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    // The user exists from here on; the event does this too, should it fail now.
    if let Err(error) = users.auth.call(&ACTIVATE_CREDENTIALS, (user.id.as_str(),)).await {
        tracing::warn!(%error, user_id = user.id, "the user can log in once auth-service has seen user.created");
    }
    Ok(Tagged(tag(NEW), Created::at(format!("/api/v1/users/{}", user.id), user)))
}

/// Changes a user; what is absent stays. The next login has the new address and roles once auth-service has seen
/// `user.updated`.
pub(super) async fn update(
    State(users): State<Users>,
    Path(id): Path<ResourceId>,
    preconditions: Preconditions,
    Valid(mut input): Valid<UpdateUser>,
) -> Result<Tagged<Json<User>>, ApiError> {
    input.email = input.email.map(|email| email.trim().to_lowercase());
    let mut tx = users.store.begin().await.map_err(internal)?;
    // Held until the commit: nobody changes the user between the check and the change.
    let version = users.store.hold(&mut tx, &id).await.map_err(internal)?;
    preconditions.check(version.map(tag).as_ref())?;
    let updated = match users.store.update(&mut tx, &id, &input).await.map_err(internal)? {
        Updated::To(updated) => updated,
        Updated::EmailTaken => return Err(email_taken(input.email.as_deref().unwrap_or_default())),
        Updated::Unknown => return Err(ApiError::not_found("user", &id)),
    };
    if input.email.is_some() || input.roles.is_some() {
        let Versioned { user, version } = &updated;
        let (email, roles) = (user.email.clone(), user.roles.clone());
        let payload = UserUpdated { user_id: id.into(), email, roles, version: *version };
        let event = Event::new(NAME, payload);
        users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    }
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(Tagged(updated.tag(), Json(updated.user)))
}

/// Deletes a user, who can log in no more.
pub(super) async fn delete(
    State(users): State<Users>,
    Path(id): Path<ResourceId>,
    preconditions: Preconditions,
) -> Result<NoContent, ApiError> {
    let mut tx = users.store.begin().await.map_err(internal)?;
    let version = users.store.begin_delete(&mut tx, &id).await.map_err(internal)?;
    preconditions.check(version.map(tag).as_ref())?;
    version.ok_or_else(|| ApiError::not_found("user", &id))?;
    tx.commit().await.map_err(internal)?;

    // The user can log in no more before they are gone; until then nobody sees or changes them.
    if let Err(error) = users.auth.call(&DELETE_CREDENTIALS, (id.as_str(),)).await {
        users.store.undo_delete(&id).await.map_err(internal)?;
        return Err(error.into());
    }
    let mut tx = users.store.begin().await.map_err(internal)?;
    if users.store.delete(&mut tx, &id).await.map_err(internal)? {
        let event = Event::new(NAME, UserDeleted { user_id: id.into() });
        users.outbox.write(&mut tx, USER_EVENTS, &event).await.map_err(ApiError::internal)?;
    }
    users.outbox.commit(tx).await.map_err(ApiError::internal)?;
    Ok(NoContent)
}

/// An admin sees everybody, a service with the scope too, and everybody themselves.
pub(super) fn may_see(caller: &Principal, user_id: &str) -> Result<(), ApiError> {
    if caller.has_role("admin") || caller.has_scope("users:read") || caller.id == user_id {
        return Ok(());
    }
    Err(UserError::Foreign.error("You may see your own account only"))
}

fn email_taken(email: &str) -> ApiError {
    UserError::EmailTaken.error("A user with this address exists already").detail("email", email)
}
