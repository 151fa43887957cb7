use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use sap_comm_core::{ApiError, Principal, auth::JwtVerifier};

/// Says who a handshake's token belongs to.
///
/// [`JwtVerifier`] does, and so does any `async fn(String) -> Result<Principal, ApiError>`, such as one that fetches keys
/// first. A handshake waits no longer than [`connect_timeout`](crate::RealtimeOptions::connect_timeout).
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The principal that the token stands for.
    ///
    /// # Errors
    /// Why the token is refused; the client is told the code.
    async fn authenticate(&self, token: &str) -> Result<Principal, ApiError>;
}

#[async_trait]
impl Authenticate for JwtVerifier {
    async fn authenticate(&self, token: &str) -> Result<Principal, ApiError> {
        Ok(self.verify(token)?.principal())
    }
}

#[async_trait]
impl<A: Authenticate + ?Sized> Authenticate for Arc<A> {
    async fn authenticate(&self, token: &str) -> Result<Principal, ApiError> {
        (**self).authenticate(token).await
    }
}

#[async_trait]
impl<F, Fut> Authenticate for F
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Principal, ApiError>> + Send + 'static,
{
    async fn authenticate(&self, token: &str) -> Result<Principal, ApiError> {
        self(token.to_owned()).await
    }
}
