use sap_comm_core::{
    Secret, Timestamp,
    auth::{Audience, AuthError, Claims, JwtSigner, JwtVerifier, KeySet},
};
use serde_json::json;

fn claims() -> Claims {
    let now = u64::try_from(Timestamp::now().as_secs()).unwrap();
    Claims {
        iss: "auth-service".into(),
        sub: "usr_1".into(),
        aud: Audience::One("sap".into()),
        exp: now + 600,
        iat: Some(now),
        nbf: None,
        jti: None,
        roles: vec!["admin".into()],
        scope: "users:read users:write".into(),
    }
}

fn verifier(signer: &JwtSigner) -> JwtVerifier {
    let keys = KeySet::from_jwks(signer.jwks().to_string().as_bytes()).unwrap();
    JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap()
}

fn forge(header: &serde_json::Value, token: &str) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let rest = token.split_once('.').unwrap().1;
    format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[test]
fn a_token_signed_here_is_verified_by_the_published_key() {
    let signer = JwtSigner::es256_generate().unwrap();
    let token = signer.sign(&claims()).unwrap();
    let principal = verifier(&signer).verify(&token).unwrap().principal();
    assert!(principal.has_role("admin") && principal.has_scope("users:write"));
    assert_eq!(principal.id, "usr_1");
}

#[test]
fn wrong_claims_are_refused() {
    let signer = JwtSigner::es256_generate().unwrap();
    let verifier = verifier(&signer);
    let refused = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims();
        change(&mut claims);
        verifier.verify(&signer.sign(&claims).unwrap()).unwrap_err()
    };
    assert_eq!(refused(&|claims| claims.exp -= 660), AuthError::Expired);
    assert_eq!(refused(&|claims| claims.iss = "other".into()), AuthError::Invalid("wrong issuer"));
    assert_eq!(refused(&|claims| claims.aud = Audience::Many(vec!["x".into()])), AuthError::Invalid("wrong audience"));
    assert_eq!(refused(&|claims| claims.nbf = Some(claims.exp)), AuthError::Invalid("not valid yet"));
    assert_eq!(refused(&|claims| claims.sub = String::new()), AuthError::Invalid("the subject is empty"));
}

#[test]
fn forged_headers_are_refused() {
    let signer = JwtSigner::es256_generate().unwrap();
    let (verifier, token) = (verifier(&signer), signer.sign(&claims()).unwrap());
    let kid = signer.jwks()["keys"][0]["kid"].clone();
    for header in [
        json!({"alg": "none", "kid": kid}),
        json!({"alg": "NONE", "kid": kid}),
        json!({"alg": "HS256", "kid": kid}),
        json!({"alg": "ES256", "kid": kid, "crit": ["exp"]}),
        json!({"alg": "ES256", "kid": kid, "typ": "logout+jwt"}),
        json!({"alg": "ES256", "kid": "../../etc/passwd"}),
        json!({"alg": "ES256"}),
        json!([]),
    ] {
        assert!(verifier.verify(&forge(&header, &token)).is_err(), "{header}");
    }
    let forged = forge(&json!({"alg": "ES256", "kid": "unknown"}), &token);
    assert_eq!(verifier.verify(&forged).unwrap_err(), AuthError::UnknownKey);
    let zero_signature = format!("{}.{}", token.rsplit_once('.').unwrap().0, "A".repeat(86));
    assert_eq!(verifier.verify(&zero_signature).unwrap_err(), AuthError::Invalid("wrong signature"));
    for text in ["", ".", "..", "a.b.c", &token.repeat(100)] {
        assert!(verifier.verify(text).is_err());
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let signer = JwtSigner::es256_generate().unwrap();
    let secret = Secret::new(signer.jwks().to_string());
    let forged = JwtSigner::hs256(&secret).unwrap().sign(&claims()).unwrap();
    assert!(verifier(&signer).verify(&forged).is_err());
    let symmetric = json!({"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]});
    assert!(KeySet::from_jwks(symmetric.to_string().as_bytes()).unwrap().is_empty());
}

#[test]
fn keys_rotate_for_every_clone() {
    let (old, new) = (JwtSigner::es256_generate().unwrap(), JwtSigner::es256_generate().unwrap());
    let verifier = verifier(&old);
    let clone = verifier.clone();
    verifier.set_keys(KeySet::from_jwks(new.jwks().to_string().as_bytes()).unwrap());
    assert!(clone.verify(&new.sign(&claims()).unwrap()).is_ok());
    assert_eq!(clone.verify(&old.sign(&claims()).unwrap()).unwrap_err(), AuthError::UnknownKey);
}

#[test]
fn a_shared_secret_needs_256_bits() {
    assert!(KeySet::hs256(&Secret::new("short".into())).is_err());
    let secret = Secret::new("0123456789abcdef0123456789abcdef".into());
    let verifier = JwtVerifier::builder("auth-service", "sap").keys(KeySet::hs256(&secret).unwrap()).build().unwrap();
    let token = JwtSigner::hs256(&secret).unwrap().sign(&claims()).unwrap();
    assert!(verifier.verify(&token).is_ok());
}
