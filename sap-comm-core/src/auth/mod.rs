//! Tokens and keys: who a caller is.

mod api_key;
mod claims;
mod error;
mod followed_keys;
mod key_store;
mod keys;
mod numeric_date;
mod opaque;
mod signer;
mod verified;
mod verifier;

pub use api_key::{ApiKey, ApiKeyRecord, ApiKeySet};
pub use claims::{Audience, Claims};
pub use error::{AuthError, KeyError};
pub use followed_keys::FollowedKeys;
pub use key_store::{ApiKeyError, ApiKeyStore, ApiKeys};
pub use keys::KeySet;
pub use opaque::OpaqueToken;
pub use signer::JwtSigner;
pub(crate) use verifier::LEEWAY;
pub use verifier::{JwtVerifier, JwtVerifierBuilder};
