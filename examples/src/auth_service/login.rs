use axum::extract::State;
use sap_comm::{
    ApiError,
    auth::OpaqueToken,
    rest::{
        operation::ErrorCodes,
        server::{Json, Valid},
    },
};

use super::{State as Auth, normalised, store::StoredCredentials};
use crate::{
    contract::{
        api::AuthError,
        rest::{Login, Refresh, Tokens},
    },
    database::internal,
};

/// Logs in.
pub(super) async fn login(State(auth): State<Auth>, Valid(input): Valid<Login>) -> Result<Json<Tokens>, ApiError> {
    let found = auth.store.find_by_email(&normalised(&input.email)).await.map_err(internal)?;
    let hash = found.as_ref().map(|user| user.password_hash.clone());
    match (auth.passwords.verify(input.password, hash).await?, found) {
        (true, Some(user)) => issue(&auth, &user).await,
        _ => Err(AuthError::InvalidCredentials.error("The address or the password is wrong")),
    }
}

/// Trades a refresh token for new tokens; it serves once.
pub(super) async fn refresh(State(auth): State<Auth>, Valid(input): Valid<Refresh>) -> Result<Json<Tokens>, ApiError> {
    let hash = OpaqueToken::received(input.refresh_token).hash();
    let user_id = auth.store.take_refresh_token(&hash).await.map_err(internal)?;
    let user = match user_id {
        Some(id) => auth.store.find_by_user(&id).await.map_err(internal)?,
        None => None,
    };
    match user {
        Some(user) => issue(&auth, &user).await,
        None => Err(AuthError::InvalidToken.error("The refresh token is unknown, used or expired")),
    }
}

async fn issue(auth: &Auth, user: &StoredCredentials) -> Result<Json<Tokens>, ApiError> {
    let (tokens, hash, expires_at) = auth.issuer.issue(user).map_err(ApiError::internal)?;
    auth.store.add_refresh_token(&hash, &user.user_id, expires_at).await.map_err(internal)?;
    Ok(Json(tokens))
}

/// The keys that tokens are verified with (RFC 7517).
pub(super) async fn jwks(State(auth): State<Auth>) -> Result<Json<serde_json::Value>, ApiError> {
    Ok(Json(auth.issuer.jwks().clone()))
}
