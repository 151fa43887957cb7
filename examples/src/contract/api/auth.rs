use sap_comm::rest::{
    error_codes,
    gateway::Quota,
    operation::{Contract, Operation, ResourceId},
    server::{Created, Json, NoContent, Path, Valid},
};
use serde_json::Value;

use super::ADMIN;
use crate::contract::rest::{ApiKeyInfo, ApiKeyRecords, CreateApiKey, Credentials, Login, NewApiKey, Refresh, Tokens};

error_codes! {
    /// Why the auth service refuses.
    pub enum AuthError {
        /// The address or the password is wrong.
        InvalidCredentials = "INVALID_CREDENTIALS",
        /// The refresh token is unknown, used or expired.
        InvalidToken = "INVALID_TOKEN",
        /// There is no such key.
        ApiKeyNotFound = "API_KEY_NOT_FOUND",
        /// As many keys live as may: take one back first.
        TooManyApiKeys = "API_KEY_LIMIT_CONFLICT",
        /// No credentials wait for this user.
        CredentialsNotFound = "CREDENTIALS_NOT_FOUND",
    }
}

/// What a service needs to be told the API keys that auth-service keeps.
pub const API_KEYS_READ: &str = "api-keys:read";

/// How many API keys live at once: all of them are told to every service every two seconds, in fewer than the 4 MiB that a client
/// reads.
pub const MAX_LIVE_API_KEYS: usize = 500;

/// The auth service.
pub const AUTH_SERVICE: Contract = Contract::new(
    "auth-service",
    &[
        LOGIN.definition(),
        REFRESH.definition(),
        JWKS.definition(),
        LIST_API_KEYS.definition(),
        CREATE_API_KEY.definition(),
        REVOKE_API_KEY.definition(),
        LIST_API_KEY_RECORDS.definition(),
        PREPARE_CREDENTIALS.definition(),
        ACTIVATE_CREDENTIALS.definition(),
        DELETE_CREDENTIALS.definition(),
    ],
)
.description("Login, refresh, published keys, API keys");

/// Logs in.
pub const LOGIN: Operation<(Valid<Login>,), Json<Tokens>, AuthError> = Operation::post("/api/v1/auth/login")
    .id("login")
    .summary("Logs in")
    .tag("auth")
    .public()
    // Guessing passwords must be slow.
    .quota(Quota::per_minute(10))
    .errors(&[AuthError::InvalidCredentials]);

/// Trades a refresh token for new tokens.
pub const REFRESH: Operation<(Valid<Refresh>,), Json<Tokens>, AuthError> = Operation::post("/api/v1/auth/refresh")
    .id("refresh")
    .summary("Trades a refresh token for new tokens; it serves once")
    .tag("auth")
    .public()
    .errors(&[AuthError::InvalidToken]);

/// The keys that tokens are verified with.
pub const JWKS: Operation<(), Json<Value>> = Operation::get("/.well-known/jwks.json")
    .id("jwks")
    .summary("The keys that tokens are verified with (RFC 7517)")
    .tag("auth")
    .public();

/// Lists the API keys that were made here.
pub const LIST_API_KEYS: Operation<(), Json<Vec<ApiKeyInfo>>> = Operation::get("/api/v1/api-keys")
    .id("listApiKeys")
    .summary("Lists the API keys that were made here")
    .tag("api-keys")
    .roles(ADMIN);

/// Makes an API key.
pub const CREATE_API_KEY: Operation<(Valid<CreateApiKey>,), Created<NewApiKey>, AuthError> =
    Operation::post("/api/v1/api-keys")
        .id("createApiKey")
        .summary("Makes an API key; it is shown once")
        .description(
            "auth-service trusts the key at once; each further instance of it, and every service that asks one, within 4 s. One \
             without a key of its own trusts the records in its `SAP_TRUSTED_KEYS` alone: an operator adds the `record` of the answer \
             there. At most 500 keys live at once.",
        )
        .tag("api-keys")
        .roles(ADMIN)
        .errors(&[AuthError::TooManyApiKeys]);

/// Takes an API key back.
pub const REVOKE_API_KEY: Operation<(Path<ResourceId>,), NoContent, AuthError> =
    Operation::delete("/api/v1/api-keys/{prefix}")
        .id("revokeApiKey")
        .summary("Takes an API key back")
        .description(
            "auth-service refuses the key at once; each further instance of it, and every service that asks one, within 4 s. A \
             service with its record in its `SAP_TRUSTED_KEYS` trusts it where it cannot ask, and again after a restart until it has \
             asked: an operator takes the record out there too.",
        )
        .tag("api-keys")
        .roles(ADMIN)
        .errors(&[AuthError::ApiKeyNotFound]);

/// What services verify API keys with.
pub const LIST_API_KEY_RECORDS: Operation<(), Json<ApiKeyRecords>> = Operation::get("/internal/v1/api-keys")
    .id("listApiKeyRecords")
    .summary("What services verify the API keys with that were made here")
    .tag("internal")
    .scopes(&[API_KEYS_READ])
    .internal();

/// Keeps how a new user will log in, once activated. For the user service.
pub const PREPARE_CREDENTIALS: Operation<(Path<ResourceId>, Valid<Credentials>), NoContent> =
    Operation::put("/internal/v1/credentials/{user_id}")
        .id("prepareCredentials")
        .summary("Keeps how a new user will log in, once activated")
        .tag("internal")
        .scopes(&["credentials:write"])
        .internal();

/// Lets a new user log in from now on. For the user service; `user.created` does the same a little later.
pub const ACTIVATE_CREDENTIALS: Operation<(Path<ResourceId>,), NoContent, AuthError> =
    Operation::put("/internal/v1/credentials/{user_id}/activation")
        .id("activateCredentials")
        .summary("Lets a new user log in from now on")
        .tag("internal")
        .scopes(&["credentials:write"])
        .internal()
        .errors(&[AuthError::CredentialsNotFound]);

/// Forgets how a user logs in. For the user service.
pub const DELETE_CREDENTIALS: Operation<(Path<ResourceId>,), NoContent> =
    Operation::delete("/internal/v1/credentials/{user_id}")
        .id("deleteCredentials")
        .summary("Forgets how a user logs in")
        .tag("internal")
        .scopes(&["credentials:write"])
        .internal();
