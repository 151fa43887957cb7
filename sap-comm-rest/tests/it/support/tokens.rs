use sap_comm_core::{
    Timestamp,
    auth::{Audience, Claims, JwtSigner, JwtVerifier, KeySet},
};

/// Signs tokens for tests.
pub(crate) struct Issuer(JwtSigner);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(JwtSigner::es256_generate().unwrap())
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::from_jwks(self.jwks().as_bytes()).unwrap()
    }

    pub(crate) fn jwks(&self) -> String {
        self.0.jwks().to_string()
    }

    pub(crate) fn verifier(&self) -> JwtVerifier {
        JwtVerifier::builder("auth-service", "sap").keys(self.keys()).build().unwrap()
    }

    pub(crate) fn token(&self, user: &str, roles: &[&str]) -> String {
        self.sign(&Claims { roles: roles.iter().map(|&role| role.to_owned()).collect(), ..claims(user) })
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.0.sign(claims).unwrap()
    }
}

/// The keys of several issuers, as they are published between two rotations.
pub(crate) fn key_document(issuers: &[&Issuer]) -> String {
    let keys = issuers.iter().flat_map(|issuer| {
        let document: serde_json::Value = serde_json::from_str(&issuer.jwks()).unwrap();
        document["keys"].as_array().unwrap().clone()
    });
    serde_json::json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

pub(crate) fn claims(user: &str) -> Claims {
    let now = u64::try_from(Timestamp::now().as_secs()).unwrap();
    Claims {
        iss: "auth-service".into(),
        sub: user.into(),
        aud: Audience::One("sap".into()),
        exp: now + 600,
        iat: Some(now),
        nbf: None,
        jti: None,
        roles: Vec::new(),
        scope: String::new(),
    }
}
