use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{AuthError, KeyError};
use crate::{Principal, Secret, Timestamp};

/// A service's key: `sap_{public prefix}_{secret}`. Shown once, stored as a hash only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    prefix: String,
    secret: Secret<String>,
}

/// What is stored of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRecord {
    /// The public part, by which the key is found.
    pub prefix: String,
    /// SHA-256 of the whole key, base64url. A fast hash suffices: the secret has 256 random bits.
    pub hash: String,
    /// The service that the key belongs to.
    pub owner: String,
    /// What the key may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 38];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError("the system has no randomness".into()))?;
        let (prefix, secret) = bytes.split_at(6);
        // An underscore separates the parts.
        let prefix = BASE64_URL_SAFE_NO_PAD.encode(prefix).replace('_', "0");
        Ok(Self { prefix, secret: BASE64_URL_SAFE_NO_PAD.encode(secret).into() })
    }

    /// The key as its holder sends it.
    #[must_use]
    pub fn expose(&self) -> Secret<String> {
        Secret::new(format!("sap_{}_{}", self.prefix, self.secret.expose()))
    }

    /// What to store of the key.
    #[must_use]
    pub fn record(
        &self,
        owner: impl Into<String>,
        scopes: impl IntoIterator<Item = impl Into<String>>,
    ) -> ApiKeyRecord {
        ApiKeyRecord {
            prefix: self.prefix.clone(),
            hash: BASE64_URL_SAFE_NO_PAD.encode(self.hash()),
            owner: owner.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            created_at: Timestamp::now(),
            revoked_at: None,
        }
    }

    fn hash(&self) -> impl AsRef<[u8]> {
        digest(&SHA256, self.expose().expose().as_bytes())
    }
}

impl FromStr for ApiKey {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (prefix, secret) = split(text)?;
        Ok(Self { prefix: prefix.to_owned(), secret: secret.to_owned().into() })
    }
}

/// The public prefix and the secret.
fn split(key: &str) -> Result<(&str, &str), AuthError> {
    let parts = key.strip_prefix("sap_").and_then(|rest| rest.split_once('_'));
    parts
        .filter(|(prefix, secret)| key.len() <= 128 && !prefix.is_empty() && secret.len() >= 40)
        .ok_or(AuthError::Invalid("not an API key"))
}

/// The keys that a service accepts, found by their public prefix. Clones share them.
#[derive(Clone, Default)]
pub struct ApiKeySet(Arc<ArcSwap<HashMap<String, Accepted>>>);

#[derive(Clone)]
struct Accepted {
    hash: Vec<u8>,
    principal: Arc<Principal>,
    revoked: bool,
}

impl From<ApiKeyRecord> for Accepted {
    fn from(record: ApiKeyRecord) -> Self {
        Self {
            // Text that is no hash equals none.
            hash: BASE64_URL_SAFE_NO_PAD.decode(&record.hash).unwrap_or_default(),
            principal: Arc::new(Principal::service(record.owner, record.scopes)),
            revoked: record.revoked_at.is_some(),
        }
    }
}

impl ApiKeySet {
    /// A set of keys.
    pub fn new(records: impl IntoIterator<Item = ApiKeyRecord>) -> Self {
        let set = Self::default();
        set.replace(records);
        set
    }

    /// Replaces all keys, for every clone.
    pub fn replace(&self, records: impl IntoIterator<Item = ApiKeyRecord>) {
        let keys = records.into_iter().map(|record| (record.prefix.clone(), record.into()));
        self.0.store(Arc::new(keys.collect()));
    }

    /// Adds keys, or replaces those of the same prefix, for every clone. A key that was revoked stays so: whoever read its record
    /// a little earlier does not bring it back.
    pub fn extend(&self, records: impl IntoIterator<Item = ApiKeyRecord>) {
        let added: Vec<(_, Accepted)> =
            records.into_iter().map(|record| (record.prefix.clone(), record.into())).collect();
        self.0.rcu(|keys| {
            let mut keys = HashMap::clone(keys);
            for (prefix, accepted) in &added {
                let gone = keys.get(prefix).is_some_and(|known| known.revoked && known.hash == accepted.hash);
                if !gone {
                    keys.insert(prefix.clone(), accepted.clone());
                }
            }
            keys
        });
    }

    /// Who holds the key.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for an unknown, wrong or revoked key; the answers do not tell these apart by time.
    pub fn verify(&self, key: &str) -> Result<Arc<Principal>, AuthError> {
        let (prefix, _) = split(key)?;
        let keys = self.0.load();
        let accepted = keys.get(prefix).filter(|accepted| !accepted.revoked);
        let stored = accepted.map_or(&[0; 32][..], |accepted| &accepted.hash);
        let same = constant_time::verify_slices_are_equal(digest(&SHA256, key.as_bytes()).as_ref(), stored).is_ok();
        match accepted {
            Some(accepted) if same => Ok(Arc::clone(&accepted.principal)),
            _ => Err(AuthError::Invalid("unknown, wrong or revoked API key")),
        }
    }
}

impl fmt::Debug for ApiKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.load().iter().map(|(prefix, accepted)| (prefix, &accepted.principal.id))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_live_at_once_and_a_revoked_one_is_refused() {
        let (old, new) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let record = |key: &ApiKey| key.record("user-service", ["credentials:write"]);
        let set = ApiKeySet::new([record(&old), record(&new)]);
        for key in [&old, &new] {
            let principal = set.verify(key.expose().expose()).unwrap();
            assert!(principal.id == "user-service" && principal.has_scope("credentials:write"));
        }
        set.replace([ApiKeyRecord { revoked_at: Some(Timestamp::now()), ..record(&old) }, record(&new)]);
        assert!(set.verify(old.expose().expose()).is_err());
        assert!(set.verify(new.expose().expose()).is_ok());
    }

    #[test]
    fn a_revoked_key_is_not_brought_back_by_an_older_record() {
        let key = ApiKey::generate().unwrap();
        let record = key.record("user-service", ["users:read"]);
        let set = ApiKeySet::new([record.clone()]);
        set.extend([ApiKeyRecord { revoked_at: Some(Timestamp::now()), ..record.clone() }]);
        set.extend([record.clone()]);
        assert!(set.verify(key.expose().expose()).is_err());
        set.replace([record]);
        assert!(set.verify(key.expose().expose()).is_ok(), "whoever replaces all keys knows them all");
    }

    #[test]
    fn wrong_keys_are_refused_and_never_shown() {
        let key = ApiKey::generate().unwrap();
        let set = ApiKeySet::new([key.record("a", ["b"])]);
        let mut other = key.expose().expose().clone();
        other.pop();
        other.push('!');
        for text in ["", "sap_", "sap_a_b", &other, &"sap_a_".repeat(100)] {
            assert!(set.verify(text).is_err(), "{text}");
        }
        assert!(!format!("{key:?}{set:?}").contains(key.secret.expose()));
    }
}
