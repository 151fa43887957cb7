use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Validation, errors::ErrorKind};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    AuthError, Claims, KeyError, KeySet,
    verified::{Verified, VerifiedTokens},
};
use crate::{Principal, Timestamp};

/// How far clocks may differ, unless a verifier is told otherwise.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);

/// Verifies tokens: the algorithm is the key's, and issuer, audience, expiry and subject are required.
///
/// A token that was verified is kept, as it came, until the keys are replaced or newer ones take its place; as long as it lasts its
/// signature is not checked again. Cheap to clone; clones share the keys, so that [`JwtVerifier::set_keys`] reaches all.
#[derive(Clone)]
pub struct JwtVerifier {
    generation: Arc<ArcSwap<Generation>>,
    rules: Arc<Rules>,
}

/// Keys, and the tokens that they signed: both are replaced at once, so that no key's word outlives it.
struct Generation {
    keys: KeySet,
    verified: VerifiedTokens,
}

struct Rules {
    validation: Validation,
    /// Seconds.
    leeway: u64,
    cached_tokens: usize,
}

/// Builds a [`JwtVerifier`].
#[derive(Debug, Clone)]
#[must_use]
pub struct JwtVerifierBuilder {
    issuer: String,
    audience: String,
    leeway: Duration,
    cached_tokens: usize,
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
            leeway: LEEWAY,
            cached_tokens: 10_000,
            keys: KeySet::empty(),
        }
    }

    /// Replaces the keys, for every clone. No token is accepted for a key that is gone, however often it was before.
    pub fn set_keys(&self, keys: KeySet) {
        // Whoever makes us fetch keys time and again does not make us check every signature again.
        if self.generation.load().keys.is_same(&keys) {
            return;
        }
        self.generation.store(Arc::new(self.rules.generation(keys)));
    }

    /// Verifies a token and returns its claims.
    ///
    /// # Errors
    /// [`AuthError::Expired`]; [`AuthError::UnknownKey`] when newer keys may help; else [`AuthError::Invalid`].
    pub fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        Ok(self.verify_at(token, now())?.claims.clone())
    }

    /// Verifies a token and returns whom it stands for; no copy is made for a token that is known already.
    ///
    /// # Errors
    /// As [`JwtVerifier::verify`].
    pub fn principal(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        Ok(Arc::clone(&self.verify_at(token, now())?.principal))
    }

    /// Whether a token is known and still good, so that verifying it checks no signature.
    #[must_use]
    pub fn remembers(&self, token: &str) -> bool {
        let generation = self.generation.load();
        let tokens = &generation.verified;
        let known = (token.len() <= Self::MAX_TOKEN).then(|| tokens.get(tokens.place_of(token), token)).flatten();
        known.is_some_and(|verified| self.rules.check_times(&verified.claims, now()).is_ok())
    }

    fn verify_at(&self, token: &str, now: u64) -> Result<Arc<Verified>, AuthError> {
        if token.len() > Self::MAX_TOKEN {
            return Err(AuthError::Invalid("the token is over 8 KiB"));
        }
        let generation = self.generation.load();
        let place = generation.verified.place_of(token);
        if let Some(verified) = generation.verified.get(place, token) {
            return match self.rules.check_times(&verified.claims, now) {
                Ok(()) => Ok(verified),
                Err(error) => {
                    generation.verified.remove(place);
                    Err(error)
                }
            };
        }
        self.rules.refuse_stale(token, now)?;
        let claims = self.rules.check(token, &generation.keys)?;
        self.rules.check_times(&claims, now)?;
        let verified = Verified::new(token, claims);
        generation.verified.insert(place, Arc::clone(&verified));
        Ok(verified)
    }
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_secs()).unwrap_or(0)
}

impl Rules {
    fn generation(&self, keys: KeySet) -> Generation {
        Generation { keys, verified: VerifiedTokens::new(self.cached_tokens) }
    }

    /// Everything but the times.
    fn check(&self, token: &str, keys: &KeySet) -> Result<Claims, AuthError> {
        let header = read_header(token)?;
        let key = keys.find(header.kid.as_deref()).ok_or(AuthError::UnknownKey)?;
        let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|error| reason(error.kind()))?
            .claims;
        if claims.sub.is_empty() {
            return Err(NO_SUBJECT);
        }
        Ok(claims)
    }

    /// Refuses a token that says itself that it is over, before its signature costs anything: that can only refuse.
    fn refuse_stale(&self, token: &str, now: u64) -> Result<(), AuthError> {
        let payload = token.split('.').nth(1).and_then(|payload| BASE64_URL_SAFE_NO_PAD.decode(payload).ok());
        let claims = payload.and_then(|json| serde_json::from_slice::<Claims>(&json).ok());
        claims.map_or(Ok(()), |claims| self.check_times(&claims, now))
    }

    fn check_times(&self, claims: &Claims, now: u64) -> Result<(), AuthError> {
        // On its expiry it is over already (RFC 7519, section 4.1.4).
        if claims.exp <= now.saturating_sub(self.leeway) {
            return Err(AuthError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(self.leeway)) {
            return Err(AuthError::Invalid("not valid yet"));
        }
        Ok(())
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
    if header.typ.as_deref().is_some_and(|typ| !is_token_type(typ)) {
        return Err(AuthError::Invalid("the type is neither JWT nor at+jwt"));
    }
    Ok(header)
}

/// A media type, of which `application/` may be left out (RFC 7515, section 4.1.9).
fn is_token_type(typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = typ.split_at_checked(PREFIX.len()).filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX));
    let name = bare.map_or(typ, |(_, name)| name);
    name.eq_ignore_ascii_case("JWT") || name.eq_ignore_ascii_case("at+jwt")
}

/// Of a token whose signature was checked.
const WRONG_SIGNATURE: AuthError = AuthError::Invalid("wrong signature");
const WRONG_ISSUER: AuthError = AuthError::Invalid("wrong issuer");
const WRONG_AUDIENCE: AuthError = AuthError::Invalid("wrong audience");
const NO_CLAIM: AuthError = AuthError::Invalid("a required claim is missing");
const NO_SUBJECT: AuthError = AuthError::Invalid("the subject is empty");

impl AuthError {
    /// Whether a token was refused by its signature, or by what is looked at behind it: to refuse it cost the check of a signature.
    #[must_use]
    pub fn cost_a_signature(&self) -> bool {
        [WRONG_SIGNATURE, WRONG_ISSUER, WRONG_AUDIENCE, NO_CLAIM, NO_SUBJECT].contains(self)
    }
}

fn reason(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::InvalidSignature => WRONG_SIGNATURE,
        ErrorKind::InvalidAlgorithm => AuthError::Invalid("the algorithm is not the key's"),
        ErrorKind::InvalidIssuer => WRONG_ISSUER,
        ErrorKind::InvalidAudience => WRONG_AUDIENCE,
        ErrorKind::MissingRequiredClaim(_) => NO_CLAIM,
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

    /// How many verified tokens are remembered; 10,000 by default. Each takes its own length and about a kilobyte of memory. With 0
    /// every signature is checked.
    pub fn cached_tokens(mut self, tokens: usize) -> Self {
        self.cached_tokens = tokens;
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
        // The times are checked here, for remembered tokens too.
        let mut validation = Validation { validate_exp: false, validate_nbf: false, ..Validation::default() };
        validation.set_issuer(&[self.issuer]);
        validation.set_audience(&[self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let rules = Rules { validation, leeway: self.leeway.as_secs(), cached_tokens: self.cached_tokens };
        let generation = Arc::new(ArcSwap::from_pointee(rules.generation(self.keys)));
        Ok(JwtVerifier { generation, rules: Arc::new(rules) })
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtVerifier").field("keys", &self.generation.load().keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Audience, JwtSigner};

    fn claims() -> Claims {
        Claims {
            iss: "auth-service".into(),
            sub: "usr_1".into(),
            aud: Audience::One("sap".into()),
            exp: 2_000,
            iat: Some(1_000),
            nbf: Some(1_000),
            jti: None,
            roles: Vec::new(),
            scope: String::new(),
        }
    }

    #[test]
    fn a_remembered_token_expires_on_time() {
        let signer = JwtSigner::es256_generate().unwrap();
        let keys = KeySet::from_jwks(signer.jwks().to_string().as_bytes()).unwrap();
        let verifier = JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap();
        let token = signer.sign(&claims()).unwrap();
        let early = verifier.verify_at(&token, 994).unwrap_err();
        assert_eq!(early, AuthError::Invalid("not valid yet"));
        let first = verifier.verify_at(&token, 995).unwrap();
        for now in [1_000, 1_999, 2_004] {
            let again = verifier.verify_at(&token, now).unwrap();
            assert!(Arc::ptr_eq(&first, &again), "remembered at {now}");
        }
        assert_eq!(verifier.verify_at(&token, 2_005).unwrap_err(), AuthError::Expired);
        assert_eq!(verifier.verify_at(&token, 994).unwrap_err(), early, "the clock was set back");
        let fresh = verifier.verify_at(&token, 2_000).unwrap();
        assert!(!Arc::ptr_eq(&first, &fresh), "what has expired is forgotten");
    }

    #[test]
    fn a_token_is_over_on_its_expiry_and_good_from_its_beginning() {
        let secret = crate::Secret::new("a secret of at least thirty-two bytes".to_owned());
        let token = JwtSigner::hs256(&secret).unwrap().sign(&claims()).unwrap();
        for (leeway, now, result) in [
            (0, 999, Err(AuthError::Invalid("not valid yet"))),
            (0, 1_000, Ok(())),
            (0, 1_999, Ok(())),
            (0, 2_000, Err(AuthError::Expired)),
            (5, 995, Ok(())),
            (5, 2_004, Ok(())),
            (5, 2_005, Err(AuthError::Expired)),
        ] {
            let keys = KeySet::hs256(&secret).unwrap();
            let builder = JwtVerifier::builder("auth-service", "sap").keys(keys);
            let verifier = builder.leeway(Duration::from_secs(leeway)).build().unwrap();
            assert_eq!(verifier.verify_at(&token, now).map(drop), result, "{leeway} {now}");
        }
    }
}
