use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderMap;
use sap_comm_core::{
    ApiError, Context, ErrorCode, Principal,
    auth::{ApiKeySet, AuthError, JwtVerifier},
    header::{NOBODY, PRINCIPAL},
};

use super::{AuthenticatorBuilder, credentials::Credentials, refresh::Refresh};
use crate::tls::{CertificateName, PeerCertificate, TlsConnection};

/// The scope that lets a service speak for a user by `x-principal`.
const DELEGATE: &str = "delegate";

/// Finds out who a request comes from: a user by a token, a service by an API key or a certificate, or both.
///
/// Cheap to clone; clones share keys and their refresh.
#[derive(Debug, Clone)]
pub struct Authenticator(Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) tokens: Option<JwtVerifier>,
    pub(super) refresh: Option<Refresh>,
    pub(super) api_keys: Option<ApiKeySet>,
    pub(super) certificates: HashMap<CertificateName, Arc<Principal>>,
}

/// What a request's credentials say.
#[derive(Debug)]
pub(super) struct Proved {
    /// `None` for a request without a credential, and for one of a peer that asks for somebody who is not known.
    pub(super) identity: Option<Identity>,
    pub(super) from_peer: bool,
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Identity {
    /// For whom it is made: the token's user, else the user that the peer speaks for, else the peer where it asks for itself. A peer that
    /// may speak for users does not where it names anybody, nor does one that says [`NOBODY`].
    pub principal: Arc<Principal>,
    /// The service that sent it with its API key or its certificate.
    pub peer: Option<Arc<Principal>>,
}

impl Authenticator {
    /// Starts to build an authenticator.
    pub fn builder() -> AuthenticatorBuilder {
        AuthenticatorBuilder::default()
    }

    pub(super) fn from_parts(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Verifies a token; asks for newer signing keys once when its key is not known.
    ///
    /// # Errors
    /// 401 for a token that is refused; 503 while there are no signing keys that are recent enough.
    pub async fn verify_token(&self, token: &str) -> Result<Arc<Principal>, ApiError> {
        let Some(verifier) = &self.0.tokens else { return Err(AuthError::Invalid("no tokens are taken here").into()) };
        let Some(refresh) = &self.0.refresh else { return Ok(verifier.principal(token)?) };
        refresh.ensure_fresh().await?;
        match verifier.principal(token) {
            Err(AuthError::UnknownKey) => {
                refresh.fetch_now().await;
                Ok(verifier.principal(token)?)
            }
            verified => Ok(verified?),
        }
    }

    /// Verifies a service's API key.
    ///
    /// # Errors
    /// 401 for a key that is refused.
    pub fn verify_api_key(&self, key: &str) -> Result<Arc<Principal>, ApiError> {
        let keys = self.0.api_keys.as_ref().ok_or(AuthError::Invalid("no API keys are taken here"))?;
        Ok(keys.verify(key)?)
    }

    /// The service that a client's certificate stands for, where one of its names was given to a service.
    #[must_use]
    pub fn service_of(&self, certificate: &PeerCertificate) -> Option<Arc<Principal>> {
        certificate.names().find_map(|name| self.0.certificates.get(&name).cloned())
    }

    /// Who a request with these headers comes from; `None` when it shows no credential, or comes from a peer that asks for
    /// somebody who is not known: as a gateway says by [`NOBODY`], or since whom it names cannot be read or has expired.
    ///
    /// # Errors
    /// 400 for several credentials of a kind, 401 for one that is refused, 503 as [`Authenticator::verify_token`].
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Option<Identity>, ApiError> {
        self.identify_over(None, headers).await
    }

    /// Like [`Authenticator::identify`], for a request that came over `tls`: the client's certificate counts where there is no
    /// API key. Beside a key that is not taken here it says who sent the request, but not for whom: that may be somebody whose key
    /// a gateway passed on.
    ///
    /// # Errors
    /// As [`Authenticator::identify`].
    pub async fn identify_over(
        &self,
        tls: Option<&TlsConnection>,
        headers: &HeaderMap,
    ) -> Result<Option<Identity>, ApiError> {
        self.identify_within(&Unbounded, tls, headers).await
    }

    /// Like [`Authenticator::identify_over`], and checks signatures of somebody without a good API key or certificate within
    /// `bound` only.
    ///
    /// # Errors
    /// As [`Authenticator::identify`], and 429 for one that has to wait.
    pub(crate) async fn identify_within(
        &self,
        bound: &impl SignatureBound,
        tls: Option<&TlsConnection>,
        headers: &HeaderMap,
    ) -> Result<Option<Identity>, ApiError> {
        Ok(self.prove(bound, tls, headers).await?.identity)
    }

    /// Like [`Authenticator::identify_over`], and tells of a peer that asks for somebody who is not known.
    pub(super) async fn prove_over(
        &self,
        tls: Option<&TlsConnection>,
        headers: &HeaderMap,
    ) -> Result<Proved, ApiError> {
        self.prove(&Unbounded, tls, headers).await
    }

    async fn prove(
        &self,
        bound: &impl SignatureBound,
        tls: Option<&TlsConnection>,
        headers: &HeaderMap,
    ) -> Result<Proved, ApiError> {
        let Credentials { token, api_key } = Credentials::read(headers, self.0.tokens.is_some())?;
        // A credential of a kind that is not taken here is for somebody behind us. But who shows a key of another's asks for that
        // one, and not for itself: a gateway may pass on what its client showed.
        let is_for_another = api_key.is_some() && self.0.api_keys.is_none();
        let api_key = api_key.filter(|_| self.0.api_keys.is_some());
        let certificate = || tls.and_then(|tls| tls.peer.as_deref()).and_then(|peer| self.service_of(peer));
        let peer = match api_key {
            Some(key) => Some(self.verify_api_key(key)?),
            None => certificate(),
        };
        let user = match token {
            Some(token) if peer.is_some() => Some(self.verify_token(token).await?),
            Some(token) => Some(self.verify_within(bound, token).await?),
            None => peer.as_ref().and_then(|peer| delegated(peer, headers)),
        };
        let principal = user.or_else(|| peer.clone().filter(|peer| !is_for_another && asks_for_itself(peer, headers)));
        let from_peer = peer.is_some();
        Ok(Proved { identity: principal.map(|principal| Identity { principal, peer }), from_peer })
    }

    async fn verify_within(&self, bound: &impl SignatureBound, token: &str) -> Result<Arc<Principal>, ApiError> {
        let is_known = || self.0.tokens.as_ref().is_some_and(|verifier| verifier.remembers(token));
        if let Some(wait) = bound.wait().filter(|_| !is_known()) {
            let message = "Too many tokens of this address were checked and refused";
            return Err(ApiError::new(ErrorCode::RATE_LIMITED, message).retry_after(wait));
        }
        let verified = self.verify_token(token).await;
        if verified.as_ref().is_err_and(was_checked_in_vain) {
            bound.failed();
        }
        verified
    }
}

/// How many signatures may be checked in vain.
pub(crate) trait SignatureBound: Sync {
    /// How long no further one is checked.
    fn wait(&self) -> Option<Duration>;

    /// One was wrong.
    fn failed(&self);
}

struct Unbounded;

impl SignatureBound for Unbounded {
    fn wait(&self) -> Option<Duration> {
        None
    }

    fn failed(&self) {}
}

/// Whether a token was refused after its signature was checked. One that is over is refused before.
fn was_checked_in_vain(error: &ApiError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    cause.is_some_and(AuthError::cost_a_signature)
}

impl From<JwtVerifier> for Authenticator {
    fn from(verifier: JwtVerifier) -> Self {
        let certificates = HashMap::new();
        Self::from_parts(Parts { tokens: Some(verifier), refresh: None, api_keys: None, certificates })
    }
}

/// The user that a peer speaks for, if it may.
fn delegated(peer: &Principal, headers: &HeaderMap) -> Option<Arc<Principal>> {
    if !peer.has_scope(DELEGATE) {
        return None;
    }
    trusted(headers).principal().cloned()
}

/// Whether a peer asks for itself. One that may speak for users does not when it names anybody, known or not: a user that is not
/// believed is not the peer. What another says of users does not count, unless it takes rights away.
fn asks_for_itself(peer: &Principal, headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(PRINCIPAL).iter();
    if peer.has_scope(DELEGATE) { said.next().is_none() } else { said.all(|value| *value != *NOBODY) }
}

/// The context of a peer's request. Only for a peer whose key was verified.
pub(super) fn trusted(headers: &HeaderMap) -> Context {
    Context::extract_trusted(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

#[cfg(test)]
mod tests {
    use sap_comm_core::{
        Secret,
        auth::{Audience, Claims, JwtSigner, KeySet},
    };

    use super::*;

    #[tokio::test]
    async fn only_tokens_whose_signature_was_checked_count() {
        let secret = |text: &str| Secret::new(format!("{text}, a secret of at least thirty-two bytes"));
        let keys = KeySet::hs256(&secret("ours")).unwrap();
        let authenticator = Authenticator::from(JwtVerifier::builder("issuer", "us").keys(keys).build().unwrap());
        let token = |own: &str, audience: &str, exp: u64| {
            let claims = Claims {
                iss: "issuer".into(),
                sub: "usr_1".into(),
                aud: Audience::One(audience.into()),
                exp,
                iat: None,
                nbf: None,
                jti: None,
                roles: Vec::new(),
                scope: String::new(),
            };
            JwtSigner::hs256(&secret(own)).unwrap().sign(&claims).unwrap()
        };
        let never = 1 << 40;
        for (token, counts) in [
            (token("another", "us", never), true),
            (token("ours", "us", 1), false),
            (token("ours", "others", never), true),
            ("junk".to_owned(), false),
        ] {
            let error = authenticator.verify_token(&token).await.unwrap_err();
            assert_eq!((error.status().as_u16(), was_checked_in_vain(&error)), (401, counts), "{error:?}");
        }
        assert!(authenticator.verify_token(&token("ours", "us", never)).await.is_ok());
    }
}
