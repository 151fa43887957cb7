use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, header::AUTHORIZATION};
use sap_comm_core::{
    ApiError, Principal,
    auth::{AuthError, JwtVerifier},
};
use sap_comm_rest::server::auth::Authenticator;

/// Says who makes a request.
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The principal of the request, `None` when it carries no credential.
    ///
    /// # Errors
    /// When the credential is refused.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError>;
}

#[async_trait]
impl Authenticate for JwtVerifier {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        let token = bearer(headers).ok_or(AuthError::Invalid("not a bearer token"))?;
        Ok(Some(self.verify(token)?.principal()))
    }
}

#[async_trait]
impl Authenticate for Authenticator {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Principal>, ApiError> {
        Ok(self.identify(headers).await?.map(|identity| Arc::unwrap_or_clone(identity.principal)))
    }
}

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
