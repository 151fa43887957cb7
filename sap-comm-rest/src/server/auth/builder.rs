use std::sync::Arc;

use sap_comm_core::auth::{ApiKeySet, JwtVerifier};

use super::{Authenticator, KeyRefreshConfig, KeySource, authenticator::Parts, refresh::Refresh};
use crate::server::ConfigError;

/// Builds an [`Authenticator`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct AuthenticatorBuilder {
    tokens: Option<JwtVerifier>,
    source: Option<Arc<dyn KeySource>>,
    refresh: KeyRefreshConfig,
    api_keys: Option<ApiKeySet>,
}

/// Why an [`Authenticator`] cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticatorError {
    /// Nothing could ever be verified.
    #[error("an authenticator needs `jwt` or `api_keys`")]
    Nothing,
    /// There is nobody to give the keys to.
    #[error("`key_source` needs `jwt`: it fetches the signing keys of tokens")]
    SourceWithoutTokens,
    /// An option cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
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

    /// Builds the authenticator.
    ///
    /// # Errors
    /// When nothing is taken, or an option cannot be used.
    pub fn build(self) -> Result<Authenticator, AuthenticatorError> {
        let Self { tokens, source, refresh, api_keys } = self;
        if tokens.is_none() && api_keys.is_none() {
            return Err(AuthenticatorError::Nothing);
        }
        let refresh = match (source, &tokens) {
            (None, _) => None,
            (Some(_), None) => return Err(AuthenticatorError::SourceWithoutTokens),
            (Some(source), Some(verifier)) => {
                refresh.validate()?;
                Some(Refresh::new(source, verifier.clone(), refresh))
            }
        };
        Ok(Authenticator::from_parts(Parts { tokens, refresh, api_keys }))
    }
}
