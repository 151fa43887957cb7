use axum::extract::State;
use sap_comm::{
    ApiError,
    auth::ApiKeyRecord,
    rest::{
        operation::{ErrorCodes, ResourceId},
        server::{Created, Json, NoContent, Path, Valid},
    },
};

use super::State as Auth;
use crate::{
    contract::{
        api::{AuthError, MAX_LIVE_API_KEYS},
        rest::{ApiKeyInfo, ApiKeyRecords, CreateApiKey, NewApiKey, RevokedApiKey},
    },
    database::internal,
};

/// Lists the API keys that were made here.
pub(super) async fn list(State(auth): State<Auth>) -> Result<Json<Vec<ApiKeyInfo>>, ApiError> {
    let records = auth.api_keys.list().await.map_err(ApiError::internal)?;
    let info = |record: ApiKeyRecord| ApiKeyInfo {
        prefix: record.prefix,
        owner: record.owner,
        scopes: record.scopes,
        created_at: record.created_at,
        revoked_at: record.revoked_at,
    };
    Ok(Json(records.into_iter().map(info).collect()))
}

/// What services verify the API keys with that were made here.
pub(super) async fn records(State(auth): State<Auth>) -> Result<Json<ApiKeyRecords>, ApiError> {
    let mut kept = ApiKeyRecords::default();
    for record in auth.api_keys.list().await.map_err(ApiError::internal)? {
        match record.revoked_at {
            None => kept.records.push(record),
            // Whoever is to refuse a key needs no more of it.
            Some(revoked_at) => kept.revoked.push(RevokedApiKey { prefix: record.prefix, revoked_at }),
        }
    }
    Ok(Json(kept))
}

/// Makes an API key; it is shown once.
///
/// This instance trusts the key at once, the others on its database and the services that ask it a little later.
pub(super) async fn create(
    State(auth): State<Auth>,
    Valid(input): Valid<CreateApiKey>,
) -> Result<Created<NewApiKey>, ApiError> {
    // Some that come at the same moment may all find room: it is a bound on growth, and not a count.
    if auth.store.live_api_keys().await.map_err(internal)? >= MAX_LIVE_API_KEYS {
        let message = format!("{MAX_LIVE_API_KEYS} API keys live, as many as may");
        return Err(AuthError::TooManyApiKeys.error(message));
    }
    let (key, record) = auth.api_keys.create(&input.owner, &input.scopes).await.map_err(ApiError::internal)?;
    let body = NewApiKey {
        prefix: record.prefix.clone(),
        key: key.expose().expose().clone(),
        owner: input.owner,
        scopes: input.scopes,
        record,
    };
    Ok(Created::at(format!("/api/v1/api-keys/{}", body.prefix), body))
}

/// Takes an API key back.
///
/// This instance refuses the key at once, the others on its database and the services that ask it a little later.
pub(super) async fn revoke(State(auth): State<Auth>, Path(prefix): Path<ResourceId>) -> Result<NoContent, ApiError> {
    match auth.api_keys.revoke(&prefix).await.map_err(ApiError::internal)? {
        Some(_) => Ok(NoContent),
        None => Err(ApiError::not_found("apiKey", &prefix)),
    }
}
