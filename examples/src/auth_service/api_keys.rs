use axum::extract::State;
use http::StatusCode;
use sap_comm::{
    ApiError, Timestamp,
    auth::{ApiKey, ApiKeyRecord, ApiKeySet},
    rest::server::{Created, Json, Path, Valid},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{State as Auth, store::Store};
use crate::{
    contract::rest::{CreateApiKey, NewApiKey, Refusal},
    database::internal,
    deps::StartError,
};

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeyInfo {
    /// The public part.
    prefix: String,
    /// The service that holds it.
    owner: String,
    /// What it may do.
    scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = "date-time")]
    revoked_at: Option<Timestamp>,
}

/// Adds the keys that were made here to those that the operator trusts.
pub(super) async fn load(store: &Store, trusted: &ApiKeySet) -> Result<ApiKeySet, StartError> {
    trusted.extend(store.api_keys().await?);
    Ok(trusted.clone())
}

/// Lists the API keys that were made here.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys", responses(
    (status = 200, description = "The keys", body = Vec<ApiKeyInfo>),
    Refusal,
))]
pub(super) async fn list(State(auth): State<Auth>) -> Result<Json<Vec<ApiKeyInfo>>, ApiError> {
    let records = auth.store.api_keys().await.map_err(internal)?;
    let info = |record: ApiKeyRecord| ApiKeyInfo {
        prefix: record.prefix,
        owner: record.owner,
        scopes: record.scopes,
        created_at: record.created_at,
        revoked_at: record.revoked_at,
    };
    Ok(Json(records.into_iter().map(info).collect()))
}

/// Makes an API key; it is shown once.
///
/// auth-service trusts the key at once. The other services trust the records in their `SAP_TRUSTED_KEYS` alone: for a
/// key that calls those, an operator adds the `record` of the answer there and starts them again.
#[utoipa::path(post, path = "/api-keys", tag = "api-keys", request_body = CreateApiKey, responses(
    (status = 201, description = "The key", body = NewApiKey),
    Refusal,
))]
pub(super) async fn create(
    State(auth): State<Auth>,
    Valid(input): Valid<CreateApiKey>,
) -> Result<Created<NewApiKey>, ApiError> {
    let key = ApiKey::generate().map_err(ApiError::internal)?;
    let record = key.record(&input.owner, &input.scopes);
    auth.store.save_api_key(&record).await.map_err(internal)?;
    let location = format!("/api/v1/api-keys/{}", record.prefix);
    let body = NewApiKey {
        prefix: record.prefix.clone(),
        key: key.expose().expose().clone(),
        owner: input.owner,
        scopes: input.scopes,
        record: record.clone(),
    };
    auth.api_keys.extend([record]);
    Ok(Created::at(location, body))
}

/// Takes an API key back.
///
/// auth-service refuses the key at once. Services with its record in their `SAP_TRUSTED_KEYS` trust it until an
/// operator takes the record out there and starts them again.
#[utoipa::path(delete, path = "/api-keys/{prefix}", tag = "api-keys",
    params(("prefix" = String, Path, description = "The public part of the key")), responses(
    (status = 204, description = "Taken back"),
    Refusal,
))]
pub(super) async fn revoke(State(auth): State<Auth>, Path(prefix): Path<String>) -> Result<StatusCode, ApiError> {
    let records = auth.store.api_keys().await.map_err(internal)?;
    let Some(mut record) = records.into_iter().find(|record| record.prefix == prefix) else {
        return Err(ApiError::not_found("apiKey", &prefix));
    };
    record.revoked_at.get_or_insert_with(Timestamp::now);
    auth.store.save_api_key(&record).await.map_err(internal)?;
    auth.api_keys.extend([record]);
    Ok(StatusCode::NO_CONTENT)
}
