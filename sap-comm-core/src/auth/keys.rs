use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};

use super::KeyError;
use crate::Secret;

/// The keys that a verifier accepts; each is bound to one algorithm, whatever a token's header says.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl KeySet {
    /// The most keys that a set may have.
    const MAX_KEYS: usize = 64;

    /// A set without keys: every token is refused as [`UnknownKey`](super::AuthError::UnknownKey) until keys arrive.
    #[must_use]
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// A shared secret, for HS256.
    ///
    /// # Errors
    /// When the secret is shorter than 32 bytes.
    pub fn hs256(secret: &Secret<String>) -> Result<Self, KeyError> {
        Self::shared(Algorithm::HS256, 32, secret)
    }

    /// A shared secret, for HS384.
    ///
    /// # Errors
    /// When the secret is shorter than 48 bytes.
    pub fn hs384(secret: &Secret<String>) -> Result<Self, KeyError> {
        Self::shared(Algorithm::HS384, 48, secret)
    }

    /// A shared secret, for HS512.
    ///
    /// # Errors
    /// When the secret is shorter than 64 bytes.
    pub fn hs512(secret: &Secret<String>) -> Result<Self, KeyError> {
        Self::shared(Algorithm::HS512, 64, secret)
    }

    /// RFC 7518, section 3.2: a secret is as long as the hash at least.
    fn shared(algorithm: Algorithm, least: usize, secret: &Secret<String>) -> Result<Self, KeyError> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < least {
            return Err(KeyError(format!("an {algorithm:?} secret needs at least {least} bytes, got {}", bytes.len())));
        }
        Ok(Self(vec![Key { id: None, algorithm, decoding: DecodingKey::from_secret(bytes) }]))
    }

    /// The public signing keys of a JWKS document (RFC 7517).
    ///
    /// Symmetric keys, keys for encryption and keys without an id are left out: a published key must not become a
    /// shared secret, and a token must name its key. Where none is left the set [is empty](Self::is_empty): whoever published the
    /// document takes no other key for valid.
    ///
    /// # Errors
    /// When the document is not a JWKS, or holds over 64 keys.
    pub fn from_jwks(json: &[u8]) -> Result<Self, KeyError> {
        #[derive(serde::Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document =
            serde_json::from_slice(json).map_err(|error| KeyError(format!("not a JWKS: {error}")))?;
        if document.keys.len() > Self::MAX_KEYS {
            return Err(KeyError(format!(
                "a JWKS of {} keys: at most {} are taken",
                document.keys.len(),
                Self::MAX_KEYS
            )));
        }
        // A key of a kind unknown to us must not hide the others.
        let keys = document.keys.into_iter().filter_map(|jwk| Key::from_jwk(&serde_json::from_value(jwk).ok()?));
        Ok(Self(keys.collect()))
    }

    /// Whether no token can be verified with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same keys in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(own, other)| own.is_same(other))
    }

    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match id {
            Some(id) => self.0.iter().find(|key| key.id.as_deref() == Some(id)).or_else(|| self.only_anonymous()),
            None => self.only_anonymous(),
        }
    }

    /// A shared secret carries no id and serves whatever id a token names.
    fn only_anonymous(&self) -> Option<&Key> {
        match self.0.as_slice() {
            [key] if key.id.is_none() => Some(key),
            _ => None,
        }
    }
}

impl Key {
    fn is_same(&self, other: &Self) -> bool {
        let same_material = match (self.decoding.kind(), other.decoding.kind()) {
            (DecodingKeyKind::SecretOrDer(own), DecodingKeyKind::SecretOrDer(other)) => own == other,
            (
                DecodingKeyKind::RsaModulusExponent { n, e },
                DecodingKeyKind::RsaModulusExponent { n: other_n, e: other_e },
            ) => n == other_n && e == other_e,
            _ => false,
        };
        same_material && self.id == other.id && self.algorithm == other.algorithm
    }

    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
            return None;
        }
        let algorithm = match (&jwk.algorithm, common.key_algorithm) {
            (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS384)) => Algorithm::PS384,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS512)) => Algorithm::PS512,
            (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES256))
                if ec.curve == EllipticCurve::P256 =>
            {
                Algorithm::ES256
            }
            (AlgorithmParameters::EllipticCurve(ec), None | Some(KeyAlgorithm::ES384))
                if ec.curve == EllipticCurve::P384 =>
            {
                Algorithm::ES384
            }
            (AlgorithmParameters::OctetKeyPair(_), None | Some(KeyAlgorithm::EdDSA)) => Algorithm::EdDSA,
            _ => return None,
        };
        let id = Some(common.key_id.clone()?);
        Some(Self { id, algorithm, decoding: DecodingKey::from_jwk(jwk).ok()? })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| (key.id.as_deref(), key.algorithm))).finish()
    }
}
