use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::{Claims, KeyError, KeySet};
use crate::Secret;

/// Signs tokens, and publishes the key to verify them with.
pub struct JwtSigner {
    header: Header,
    key: EncodingKey,
    jwks: serde_json::Value,
}

impl JwtSigner {
    /// Signs with a new ES256 key; the key dies with the process. The id of the key is derived from it.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn es256_generate() -> Result<Self, KeyError> {
        Self::es256_pkcs8(Self::es256_new_key()?.expose())
    }

    /// Makes an ES256 key to keep: its PKCS #8 DER document.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn es256_new_key() -> Result<Secret<Vec<u8>>, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError("the system could not make an ES256 key".into()))?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    /// Signs with an ES256 key from its PKCS #8 DER document.
    ///
    /// # Errors
    /// When the document is not a P-256 key.
    pub fn es256_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|error| KeyError(format!("not a PKCS #8 document of a P-256 key: {error}")))?;
        let point = pair.public_key().as_ref();
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(KeyError("the public key is not an uncompressed P-256 point".into()));
        };
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        let id = thumbprint(&x, &y);
        let jwks =
            json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id, "x": x, "y": y}]});
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(id);
        Ok(Self { header, key: EncodingKey::from_ec_der(der), jwks })
    }

    /// Signs with a shared secret; its JWKS is empty.
    ///
    /// # Errors
    /// When the secret is shorter than 32 bytes.
    pub fn hs256(secret: &Secret<String>) -> Result<Self, KeyError> {
        KeySet::hs256(secret)?;
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        Ok(Self { header: Header::new(Algorithm::HS256), key, jwks: json!({"keys": []}) })
    }

    /// A signed token.
    ///
    /// # Errors
    /// When signing fails, as it may without randomness.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        jsonwebtoken::encode(&self.header, claims, &self.key)
            .map_err(|error| KeyError(format!("the token could not be signed: {error}")))
    }

    /// The JWKS document with the public key (RFC 7517).
    #[must_use]
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }
}

/// The id of a key: its thumbprint (RFC 7638).
fn thumbprint(x: &str, y: &str) -> String {
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(digest)
}

impl fmt::Debug for JwtSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSigner")
            .field("algorithm", &self.header.alg)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}
