use axum::extract::State;
use sap_comm::{
    ApiError, Event,
    events::{HandlerError, inbox::Inbox},
    rest::{
        operation::ResourceId,
        server::{Json, Path, ValidQuery, auth::CurrentUser},
    },
};

use super::{State as Users, store::Store, users::may_see};
use crate::{
    contract::{
        events::UserCreated,
        rest::{Profile, Profiles, ProfilesQuery},
    },
    database::internal,
};

/// Makes the profile of a new user; once, however often the event is delivered.
pub(super) async fn create(store: Store, inbox: Inbox, event: Event<UserCreated>) -> Result<(), HandlerError> {
    let mut tx = store.begin().await?;
    if !inbox.once(&mut tx, &event.id).await? {
        return Ok(());
    }
    let UserCreated { user_id, profile, .. } = event.data;
    let added = store.add_profile(&mut tx, &user_id, profile.unwrap_or_default()).await?;
    tx.commit().await?;
    if added {
        tracing::info!(user_id, "user profile created from event");
    } else {
        tracing::info!(user_id, "no profile: the user is deleted");
    }
    Ok(())
}

/// Several users' profiles: any for an admin or a service with the scope users:read, else one's own.
pub(super) async fn list(
    State(users): State<Users>,
    CurrentUser(caller): CurrentUser,
    ValidQuery(query): ValidQuery<ProfilesQuery>,
) -> Result<Json<Profiles>, ApiError> {
    let ids: Vec<_> = query.user_ids.split(',').collect();
    for id in &ids {
        may_see(&caller, id)?;
    }
    let data = users.store.profiles(&ids).await.map_err(internal)?;
    Ok(Json(Profiles { data }))
}

/// One user's profile: any for an admin or a service with the scope users:read, else one's own.
pub(super) async fn find(
    State(users): State<Users>,
    CurrentUser(caller): CurrentUser,
    Path(user_id): Path<ResourceId>,
) -> Result<Json<Profile>, ApiError> {
    may_see(&caller, &user_id)?;
    let found = users.store.profiles(&[&user_id]).await.map_err(internal)?;
    found.into_iter().next().map(Json).ok_or_else(|| ApiError::not_found("profile", &user_id))
}
