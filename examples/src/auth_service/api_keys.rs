use axum::extract::State;
use http::StatusCode;
use sap_comm::{
    ApiError, Timestamp,
    auth::ApiKeyRecord,
    rest::server::{Created, Json, Path, Valid},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::State as Auth;
use crate::contract::rest::{CreateApiKey, NewApiKey, Refusal};

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

/// Lists the API keys that were made here.
#[utoipa::path(get, path = "/api-keys", tag = "api-keys", responses(
    (status = 200, description = "The keys", body = Vec<ApiKeyInfo>),
    Refusal,
))]
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
/// auth-service refuses the key at once. Services with its record in their `SAP_TRUSTED_KEYS` trust it until an
/// operator takes the record out there and starts them again.
#[utoipa::path(delete, path = "/api-keys/{prefix}", tag = "api-keys",
    params(("prefix" = String, Path, description = "The public part of the key")), responses(
    (status = 204, description = "Taken back"),
    Refusal,
))]
pub(super) async fn revoke(State(auth): State<Auth>, Path(prefix): Path<String>) -> Result<StatusCode, ApiError> {
    match auth.api_keys.revoke(&prefix).await.map_err(ApiError::internal)? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::not_found("apiKey", &prefix)),
    }
}
