use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Validation, errors::ErrorKind};
use serde::{Deserialize, de::IgnoredAny};

use super::{AuthError, Claims, KeyError, KeySet};

/// Verifies tokens: the algorithm is the key's, and issuer, audience, expiry and subject are required.
///
/// Cheap to clone; clones share the keys, so that [`JwtVerifier::set_keys`] reaches all.
#[derive(Clone)]
pub struct JwtVerifier {
    keys: Arc<ArcSwap<KeySet>>,
    validation: Arc<Validation>,
}

/// Builds a [`JwtVerifier`].
#[derive(Debug, Clone)]
#[must_use]
pub struct JwtVerifierBuilder {
    issuer: String,
    audience: String,
    leeway: Duration,
    keys: KeySet,
}

/// The part of a token's header that is looked at before its signature.
#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl JwtVerifier {
    /// The longest token that is looked at.
    pub const MAX_TOKEN: usize = 8 * 1024;

    /// Starts to build a verifier for tokens of `issuer` that are meant for `audience`.
    pub fn builder(issuer: impl Into<String>, audience: impl Into<String>) -> JwtVerifierBuilder {
        JwtVerifierBuilder {
            issuer: issuer.into(),
            audience: audience.into(),
            leeway: Duration::from_secs(5),
            keys: KeySet::empty(),
        }
    }

    /// Replaces the keys, for every clone.
    pub fn set_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// [`AuthError::Expired`]; [`AuthError::UnknownKey`] when newer keys may help; else [`AuthError::Invalid`].
    pub fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        if token.len() > Self::MAX_TOKEN {
            return Err(AuthError::Invalid("the token is over 8 KiB"));
        }
        let header = read_header(token)?;
        let keys = self.keys.load();
        let key = keys.find(header.kid.as_deref()).ok_or(AuthError::UnknownKey)?;
        let mut validation = Validation::clone(&self.validation);
        validation.algorithms = vec![key.algorithm];
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|error| reason(error.kind()))?
            .claims;
        if claims.sub.is_empty() {
            return Err(AuthError::Invalid("the subject is empty"));
        }
        Ok(claims)
    }
}

fn read_header(token: &str) -> Result<Header, AuthError> {
    let encoded = token.split('.').next().unwrap_or_default();
    let json = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| AuthError::Invalid("the header is not base64url"))?;
    let header: Header =
        serde_json::from_slice(&json).map_err(|_| AuthError::Invalid("the header is not the JSON of a token's"))?;
    if header.crit.is_some() {
        return Err(AuthError::Invalid("critical header extensions are not supported"));
    }
    if let Some(typ) = &header.typ
        && !typ.eq_ignore_ascii_case("JWT")
        && !typ.eq_ignore_ascii_case("at+jwt")
    {
        return Err(AuthError::Invalid("the type is neither JWT nor at+jwt"));
    }
    Ok(header)
}

fn reason(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::InvalidSignature => AuthError::Invalid("wrong signature"),
        ErrorKind::InvalidAlgorithm => AuthError::Invalid("the algorithm is not the key's"),
        ErrorKind::InvalidIssuer => AuthError::Invalid("wrong issuer"),
        ErrorKind::InvalidAudience => AuthError::Invalid("wrong audience"),
        ErrorKind::ImmatureSignature => AuthError::Invalid("not valid yet"),
        ErrorKind::MissingRequiredClaim(_) => AuthError::Invalid("a required claim is missing"),
        _ => AuthError::Invalid("malformed"),
    }
}

impl JwtVerifierBuilder {
    /// The keys to verify with; without any, every token is refused until [`JwtVerifier::set_keys`].
    pub fn keys(mut self, keys: KeySet) -> Self {
        self.keys = keys;
        self
    }

    /// How far clocks may differ; 5 s by default, since a longer leeway lengthens every token's life.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Builds the verifier.
    ///
    /// # Errors
    /// When issuer or audience is empty, or the leeway is over a minute.
    pub fn build(self) -> Result<JwtVerifier, KeyError> {
        for (field, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if value.is_empty() {
                return Err(KeyError(format!("{field} must not be empty")));
            }
        }
        if self.leeway > Duration::from_secs(60) {
            return Err(KeyError(format!("leeway must be at most 60s, got {:?}", self.leeway)));
        }
        let mut validation = Validation { leeway: self.leeway.as_secs(), validate_nbf: true, ..Validation::default() };
        validation.set_issuer(&[self.issuer]);
        validation.set_audience(&[self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(JwtVerifier { keys: Arc::new(ArcSwap::from_pointee(self.keys)), validation: Arc::new(validation) })
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier").field("keys", &self.keys.load()).finish_non_exhaustive()
    }
}
