use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::KeyError;
use crate::Secret;

/// A random token that means nothing by itself, such as a refresh token: given away whole, stored as its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueToken(Secret<String>);

impl OpaqueToken {
    /// Makes a token of 256 random bits.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError("the system has no randomness".into()))?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// A token that somebody sent.
    #[must_use]
    pub fn received(text: String) -> Self {
        Self(text.into())
    }

    /// The token as its holder sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// SHA-256 of the token, base64url: what to store, and to look it up by.
    #[must_use]
    pub fn hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.expose().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_hash_and_never_shown() {
        let token = OpaqueToken::generate().unwrap();
        assert_eq!(OpaqueToken::received(token.expose().to_owned()).hash(), token.hash());
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_ne!(OpaqueToken::generate().unwrap(), token);
    }
}
