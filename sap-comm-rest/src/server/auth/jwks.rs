use std::sync::Arc;

use async_trait::async_trait;
use sap_comm_core::{Endpoint, Secret, StaticResolver, auth::KeySet, config::ConfigError};
use url::Url;

use super::{KeySource, KeySourceError};
use crate::client::Client;

/// The most that a key document may hold.
const MAX_DOCUMENT: usize = 128 * 1024;

/// Signing keys from a JWKS document (RFC 7517) over HTTP.
#[derive(Debug, Clone)]
pub struct JwksSource {
    client: Client,
    path: String,
    /// It may hold a key.
    query: Secret<Vec<(String, String)>>,
}

impl JwksSource {
    /// From `path` of a service, such as `/.well-known/jwks.json`.
    pub fn new(client: Client, path: impl Into<String>) -> Self {
        Self { client, path: path.into(), query: Secret::new(Vec::new()) }
    }

    /// From a URL, such as `http://auth-service:8080/.well-known/jwks.json`.
    ///
    /// # Errors
    /// When the URL has no usable host.
    pub fn url(url: &Url) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::parse(&url.origin().ascii_serialization())
            .map_err(|error| ConfigError::refused("url", url, error))?;
        let service = endpoint.authority().to_owned();
        let resolver = StaticResolver::new();
        resolver.set(&service, [endpoint]);
        let client = Client::builder(service).resolver(Arc::new(resolver)).max_response(MAX_DOCUMENT).build()?;
        let query = Secret::new(url.query_pairs().into_owned().collect());
        Ok(Self { query, ..Self::new(client, url.path()) })
    }
}

#[async_trait]
impl KeySource for JwksSource {
    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        let request = self.client.get(&self.path, []).query(self.query.expose());
        let response = request.send().await.map_err(KeySourceError::new)?;
        let document = response.bytes().await.map_err(KeySourceError::new)?;
        KeySet::from_jwks(&document).map_err(KeySourceError::new)
    }
}
