use std::{collections::HashMap, sync::Arc};

use sap_comm_core::{
    Principal,
    auth::{ApiKeySet, JwtVerifier},
    config::ConfigError,
};

use super::{Authenticator, KeyRefreshConfig, KeySource, authenticator::Parts, refresh::Refresh};
use crate::tls::CertificateName;

/// Builds an [`Authenticator`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct AuthenticatorBuilder {
    tokens: Option<JwtVerifier>,
    source: Option<Arc<dyn KeySource>>,
    refresh: KeyRefreshConfig,
    api_keys: Option<ApiKeySet>,
    certificates: HashMap<CertificateName, Arc<Principal>>,
}

impl AuthenticatorBuilder {
    /// Takes users' tokens.
    pub fn jwt(mut self, verifier: JwtVerifier) -> Self {
        self.tokens = Some(verifier);
        self
    }

    /// Fetches the tokens' signing keys, at first use, now and then, and when a token names a key that is not known.
    pub fn key_source(mut self, source: impl KeySource + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// How often and how long; see [`KeyRefreshConfig`] for the defaults.
    pub fn key_refresh(mut self, config: KeyRefreshConfig) -> Self {
        self.refresh = config;
        self
    }

    /// Takes services' API keys.
    pub fn api_keys(mut self, keys: ApiKeySet) -> Self {
        self.api_keys = Some(keys);
        self
    }

    /// Takes a client that showed a verified certificate of this name for `principal`, where it shows no API key.
    ///
    /// Mutual TLS alone gives a client no rights: who has a certificate of the authority may connect, and nothing more.
    pub fn client_certificate(mut self, name: CertificateName, principal: Principal) -> Self {
        self.certificates.insert(name, Arc::new(principal));
        self
    }

    /// Builds the authenticator.
    ///
    /// # Errors
    /// Names the option that is missing or cannot be used.
    pub fn build(self) -> Result<Authenticator, ConfigError> {
        let Self { tokens, source, refresh, api_keys, certificates } = self;
        if tokens.is_none() && api_keys.is_none() && certificates.is_empty() {
            return Err(ConfigError::new(
                "jwt",
                "is missing, and there are no `api_keys` either: nothing could be verified",
            ));
        }
        let refresh = match (source, &tokens) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(ConfigError::new("key_source", "needs `jwt`: it fetches the signing keys of tokens"));
            }
            (Some(source), Some(verifier)) => {
                refresh.validate()?;
                Some(Refresh::new(source, verifier.clone(), refresh))
            }
        };
        Ok(Authenticator::from_parts(Parts { tokens, refresh, api_keys, certificates }))
    }
}
