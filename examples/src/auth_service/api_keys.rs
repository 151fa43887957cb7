use axum::extract::State;
use sap_comm::{
    ApiError,
    auth::ApiKeyRecord,
    rest::{
        operation::ResourceId,
        server::{Created, Json, NoContent, Path, Valid},
    },
};

use super::State as Auth;
use crate::contract::rest::{ApiKeyInfo, ApiKeyRecords, CreateApiKey, NewApiKey};

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
    let records = auth.api_keys.list().await.map_err(ApiError::internal)?;
    Ok(Json(ApiKeyRecords { records }))
}

/// Makes an API key; it is shown once.
///
/// This instance trusts the key at once, the others on its database and the services that ask it a little later.
pub(super) async fn create(
    State(auth): State<Auth>,
    Valid(input): Valid<CreateApiKey>,
) -> Result<Created<NewApiKey>, ApiError> {
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
