use std::{fmt, time::Duration};

use async_trait::async_trait;

use super::{ApiKey, ApiKeyRecord, ApiKeySet, FollowedKeys, KeyError};
use crate::{BoxError, Timestamp, config::ConfigError};

/// Where the records of API keys are kept: a table with the prefix as its key.
#[async_trait]
pub trait ApiKeyStore: fmt::Debug + Send + Sync {
    /// Keeps the record of a new key.
    ///
    /// # Errors
    /// When the store fails, or has a key of this prefix already.
    async fn insert(&self, record: &ApiKeyRecord) -> Result<(), ApiKeyError>;

    /// Marks a key as revoked at `at`, unless it is already, and returns its record; `None` when there is no such key.
    ///
    /// # Errors
    /// When the store fails.
    async fn revoke(&self, prefix: &str, at: Timestamp) -> Result<Option<ApiKeyRecord>, ApiKeyError>;

    /// Every record, those of revoked keys too.
    ///
    /// # Errors
    /// When the store fails.
    async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError>;
}

/// Why API keys cannot be made, read or revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// The store failed.
    #[error("the store of API keys failed: {0}")]
    Store(#[source] BoxError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl ApiKeyError {
    /// A failure of the store.
    pub fn store(cause: impl Into<BoxError>) -> Self {
        Self::Store(cause.into())
    }
}

/// API keys that are made, listed and revoked in a store, and accepted from it.
///
/// An owner may hold several at once, so that one takes over from another without a gap.
#[derive(Debug, Clone)]
pub struct ApiKeys<S> {
    store: S,
    accepted: ApiKeySet,
}

impl<S: ApiKeyStore> ApiKeys<S> {
    /// Adds the keys of `store` to those that are `accepted` already, such as an operator's.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(store: S, accepted: ApiKeySet) -> Result<Self, ApiKeyError> {
        let keys = Self { store, accepted };
        keys.refresh().await?;
        Ok(keys)
    }

    /// The keys that are accepted, for an authenticator.
    #[must_use]
    pub fn accepted(&self) -> &ApiKeySet {
        &self.accepted
    }

    /// Makes a key; it is accepted here at once. What is returned is the only copy of it, and what the store keeps.
    ///
    /// # Errors
    /// When the store fails, or the system has no randomness. Whether the store then has the record is not known.
    pub async fn create(&self, owner: &str, scopes: &[String]) -> Result<(ApiKey, ApiKeyRecord), ApiKeyError> {
        let key = ApiKey::generate()?;
        let record = key.record(owner, scopes);
        self.store.insert(&record).await?;
        self.accepted.extend([record.clone()]);
        Ok((key, record))
    }

    /// Revokes a key; it is refused here at once. `None` when there is no such key.
    ///
    /// # Errors
    /// When the store fails; then the key may be accepted still.
    pub async fn revoke(&self, prefix: &str) -> Result<Option<ApiKeyRecord>, ApiKeyError> {
        let revoked = self.store.revoke(prefix, Timestamp::now()).await?;
        self.accepted.extend(revoked.clone());
        Ok(revoked)
    }

    /// Every record, those of revoked keys too.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
        self.store.list().await
    }

    /// Takes over what others with the same store have made and revoked.
    ///
    /// # Errors
    /// When the store fails; what was accepted is accepted still.
    pub async fn refresh(&self) -> Result<(), ApiKeyError> {
        self.accepted.extend(self.store.list().await?);
        Ok(())
    }

    /// Takes over what others with the same store have made and revoked, again and again, until the result is dropped.
    ///
    /// The store is asked `every` so long, and gets as long to answer: what others did is seen within twice that. While the
    /// store fails, what was accepted is accepted still, and a warning is logged each time.
    ///
    /// # Errors
    /// When `every` is zero.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow(&self, every: Duration) -> Result<FollowedKeys, ConfigError>
    where
        S: Clone + 'static,
    {
        FollowedKeys::begin(self.clone(), every)
    }
}
