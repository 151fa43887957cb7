use axum::extract::State;
use http::StatusCode;
use sap_comm::{
    ApiError, ErrorCode, ErrorEnvelope,
    rest::server::{Path, Valid},
};

use super::{State as Auth, email_taken, normalised, password, store::Saved};
use crate::{contract::rest::Credentials, database::internal};

/// Sets how a user logs in. For the user service.
#[utoipa::path(put, path = "/credentials/{user_id}", tag = "internal", request_body = Credentials,
    params(("user_id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Set"),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn set(
    State(auth): State<Auth>,
    Path(user_id): Path<String>,
    Valid(input): Valid<Credentials>,
) -> Result<StatusCode, ApiError> {
    let hash = match input.password {
        Some(password) => Some(password::hash(password).await?),
        None => None,
    };
    let email = normalised(&input.email);
    match auth.store.save(&user_id, &email, hash, &input.roles).await.map_err(internal)? {
        Saved::Yes => Ok(StatusCode::NO_CONTENT),
        Saved::EmailTaken => Err(email_taken(&input.email)),
        Saved::PasswordMissing => {
            Err(ApiError::new(ErrorCode::VALIDATION_FAILED, "A new user needs a password").detail("field", "password"))
        }
    }
}

/// Forgets how a user logs in. For the user service.
#[utoipa::path(delete, path = "/credentials/{user_id}", tag = "internal",
    params(("user_id" = String, Path, description = "The user")), responses(
    (status = 204, description = "Forgotten, or never known"),
    (status = "4XX", description = "Refused", body = ErrorEnvelope),
    (status = "5XX", description = "Failed", body = ErrorEnvelope),
))]
pub(super) async fn delete(State(auth): State<Auth>, Path(user_id): Path<String>) -> Result<StatusCode, ApiError> {
    auth.store.delete(&user_id).await.map_err(internal)?;
    Ok(StatusCode::NO_CONTENT)
}
