use async_trait::async_trait;
use sap_comm_core::{
    Principal,
    auth::{AuthError, JwtVerifier},
};

/// Says who a handshake's token belongs to.
///
/// [`JwtVerifier`] does. Implement it where keys must be fetched before a token can be judged; a handshake waits no
/// longer than [`connect_timeout`](crate::RealtimeOptions::connect_timeout).
#[async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// The principal that the token stands for.
    ///
    /// # Errors
    /// Why the token is refused.
    async fn authenticate(&self, token: &str) -> Result<Principal, AuthError>;
}

#[async_trait]
impl Authenticate for JwtVerifier {
    async fn authenticate(&self, token: &str) -> Result<Principal, AuthError> {
        self.verify(token).map(|claims| claims.principal())
    }
}

#[async_trait]
impl<A: Authenticate + ?Sized> Authenticate for std::sync::Arc<A> {
    async fn authenticate(&self, token: &str) -> Result<Principal, AuthError> {
        (**self).authenticate(token).await
    }
}
