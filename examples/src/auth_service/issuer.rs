use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use sap_comm::{
    Timestamp,
    auth::{Audience, Claims, JwtSigner, KeyError, OpaqueToken},
    id,
};

use super::store::{Store, StoredCredentials, StoredRefresh};
use crate::{
    contract::rest::Tokens,
    deps::{AUDIENCE, ISSUER, StartError},
};

/// A short life bounds what a stolen token is good for.
const ACCESS_LIFE: Duration = Duration::from_secs(15 * 60);
const REFRESH_LIFE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Issues tokens.
pub(super) struct Issuer(JwtSigner);

impl Issuer {
    /// Signs with the key that the database keeps, so that tokens outlive a restart.
    pub(super) async fn load(store: &Store) -> Result<Self, StartError> {
        let candidate = BASE64_STANDARD.encode(JwtSigner::es256_new_key()?.expose());
        let key = BASE64_STANDARD.decode(store.signing_key(&candidate).await?)?;
        Ok(Self(JwtSigner::es256_pkcs8(&key)?))
    }

    pub(super) fn jwks(&self) -> &serde_json::Value {
        self.0.jwks()
    }

    /// New tokens of a session, and what to store of the refresh token, which names the session.
    pub(super) fn issue(&self, session: String, user: &StoredCredentials) -> Result<(Tokens, StoredRefresh), KeyError> {
        let now = Timestamp::now();
        let iat = u64::try_from(now.as_secs()).unwrap_or(0);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.user_id.clone(),
            aud: Audience::One(AUDIENCE.to_owned()),
            exp: iat + ACCESS_LIFE.as_secs(),
            iat: Some(iat),
            nbf: None,
            jti: Some(id::prefixed("tok")),
            roles: user.roles.clone(),
            scope: String::new(),
        };
        let refresh = OpaqueToken::generate()?;
        let tokens = Tokens {
            access_token: self.0.sign(&claims)?,
            refresh_token: format!("{session}.{}", refresh.expose()),
            token_type: "Bearer".into(),
            expires_in: ACCESS_LIFE.as_secs(),
        };
        Ok((tokens, StoredRefresh { session, hash: refresh.hash(), expires_at: now.saturating_add(REFRESH_LIFE) }))
    }
}
