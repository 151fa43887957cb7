use axum::extract::State;
use sap_comm::{
    ApiError,
    auth::OpaqueToken,
    id,
    rest::{
        operation::ErrorCodes,
        server::{Json, Valid},
    },
};

use super::{State as Auth, normalised};
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
        (true, Some(user)) => {
            let (tokens, refresh) = auth.issuer.issue(id::prefixed("ses"), &user).map_err(ApiError::internal)?;
            auth.store.begin_session(&user.user_id, &refresh).await.map_err(internal)?;
            Ok(Json(tokens))
        }
        _ => Err(AuthError::InvalidCredentials.error("The address or the password is wrong")),
    }
}

/// Trades a refresh token for new tokens; it serves once. One that comes again was stolen, or its successor was: its
/// session ends (RFC 9700, section 4.14.2).
pub(super) async fn refresh(State(auth): State<Auth>, Valid(input): Valid<Refresh>) -> Result<Json<Tokens>, ApiError> {
    let invalid = || AuthError::InvalidToken.error("The refresh token is unknown, used or expired");
    let (session, token) = input.refresh_token.split_once('.').ok_or_else(invalid)?;
    let used = OpaqueToken::received(token.to_owned()).hash();
    if let Some(user) = auth.store.find_by_session(session).await.map_err(internal)? {
        let (tokens, next) = auth.issuer.issue(session.to_owned(), &user).map_err(ApiError::internal)?;
        if auth.store.rotate(&used, &next).await.map_err(internal)? {
            return Ok(Json(tokens));
        }
        if auth.store.end_session(session).await.map_err(internal)? {
            tracing::warn!(user_id = user.user_id, "a refresh token that is used or expired ended its session");
        }
    }
    Err(invalid())
}

/// The keys that tokens are verified with (RFC 7517).
pub(super) async fn jwks(State(auth): State<Auth>) -> Result<Json<serde_json::Value>, ApiError> {
    Ok(Json(auth.issuer.jwks().clone()))
}
