use aws_lc_rs::hmac;
use sap_comm_core::{
    Secret, Timestamp,
    auth::{AuthError, JwtVerifier, KeyError, KeySet},
};
use serde_json::{Value, json};

use crate::crafted::{Forger, claims, claims_with, encode, jwks};

struct World {
    es: Forger,
    rs: Forger,
    ed: Forger,
    verifier: JwtVerifier,
}

fn world() -> World {
    let (es, rs, ed) = (Forger::es256("es"), Forger::rs256("rs"), Forger::eddsa("ed"));
    let verifier = verifier(&jwks(&[&es.jwk, &rs.jwk, &ed.jwk]));
    World { es, rs, ed, verifier }
}

fn verifier(jwks: &[u8]) -> JwtVerifier {
    JwtVerifier::builder("auth-service", "sap").keys(KeySet::from_jwks(jwks).unwrap()).build().unwrap()
}

fn header(algorithm: &str, kid: &str) -> String {
    json!({"alg": algorithm, "kid": kid, "typ": "JWT"}).to_string()
}

const WRONG_SIGNATURE: AuthError = AuthError::Invalid("wrong signature");
const WRONG_ALGORITHM: AuthError = AuthError::Invalid("the algorithm is not the key's");

const OF_RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

/// A key of every algorithm that a document may have, under its algorithm's name.
fn published() -> Vec<(&'static str, Forger)> {
    let others =
        [("ES256", Forger::es256("ES256")), ("ES384", Forger::es384("ES384")), ("EdDSA", Forger::eddsa("EdDSA"))];
    OF_RSA.map(|algorithm| (algorithm, Forger::of_rsa(algorithm, algorithm))).into_iter().chain(others).collect()
}

#[test]
fn each_kind_of_key_verifies_its_own_tokens_and_no_others() {
    let forgers = published();
    let keys: Vec<_> = forgers.iter().map(|(_, forger)| &forger.jwk).collect();
    let verifier = verifier(&jwks(&keys));
    let own = claims().to_string();
    for (algorithm, forger) in &forgers {
        let token = forger.token(&header(algorithm, algorithm), &own);
        assert_eq!(verifier.verify(&token).unwrap().sub, "usr_1", "{algorithm}");
        for (other, _) in &forgers {
            if other != algorithm {
                let forged = forger.token(&header(other, other), &own);
                assert_eq!(verifier.verify(&forged).unwrap_err(), WRONG_SIGNATURE, "{algorithm} under {other}'s name");
                let forged = forger.token(&header(other, algorithm), &own);
                assert_eq!(verifier.verify(&forged).unwrap_err(), WRONG_ALGORITHM, "{algorithm} called {other}");
            }
        }
        let (signed, _) = token.rsplit_once('.').unwrap();
        let longer = format!("{signed}.{}", encode(&[0; 512]));
        assert_eq!(verifier.verify(&longer).unwrap_err(), WRONG_SIGNATURE, "{algorithm}");
    }
}

#[test]
fn a_shared_secret_verifies_by_its_own_hash_only() {
    let text = "0123456789abcdef".repeat(4);
    let own = claims().to_string();
    type Keys = fn(&Secret<String>) -> Result<KeySet, KeyError>;
    let kinds: [(&str, hmac::Algorithm, usize, Keys); 3] = [
        ("HS256", hmac::HMAC_SHA256, 32, KeySet::hs256),
        ("HS384", hmac::HMAC_SHA384, 48, KeySet::hs384),
        ("HS512", hmac::HMAC_SHA512, 64, KeySet::hs512),
    ];
    for (algorithm, hash, least, keys) in kinds {
        let short = keys(&Secret::new(text[..least - 1].to_owned())).unwrap_err();
        assert!(short.to_string().contains(&format!("{algorithm} secret needs at least {least} bytes")), "{short}");
        let secret = &text[..least];
        let keys = keys(&Secret::new(secret.to_owned())).unwrap();
        let verifier = JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap();
        let forger = Forger::hs(hash, secret.as_bytes());
        let header = |algorithm| json!({"alg": algorithm}).to_string();
        assert_eq!(verifier.verify(&forger.token(&header(algorithm), &own)).unwrap().sub, "usr_1", "{algorithm}");
        let other = Forger::hs(hash, b"another secret of quite some length, but not the one that is shared");
        assert_eq!(verifier.verify(&other.token(&header(algorithm), &own)).unwrap_err(), WRONG_SIGNATURE);
        for (name, hash, ..) in kinds {
            if name != algorithm {
                let forged = Forger::hs(hash, secret.as_bytes());
                assert_eq!(verifier.verify(&forged.token(&header(name), &own)).unwrap_err(), WRONG_ALGORITHM);
                assert_eq!(verifier.verify(&forged.token(&header(algorithm), &own)).unwrap_err(), WRONG_SIGNATURE);
            }
        }
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let World { es, verifier, .. } = world();
    let own = encode(claims().to_string().as_bytes());
    for algorithm in ["none", "NONE", "nOnE", "", "HS256", "ES256"] {
        let unsigned = format!("{}.{own}.", encode(header(algorithm, "es").as_bytes()));
        assert!(verifier.verify(&unsigned).is_err(), "{algorithm}");
        assert!(verifier.verify(unsigned.trim_end_matches('.')).is_err(), "{algorithm}");
        if algorithm != "ES256" {
            let signed = es.token(&header(algorithm, "es"), &claims().to_string());
            assert!(verifier.verify(&signed).is_err(), "{algorithm}, though signed");
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret_and_no_other_kind_of_key() {
    let World { es, rs, ed, verifier } = world();
    let own = claims().to_string();
    let pem = |der: &[u8]| format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", encode(der));
    for (public, kid) in [
        (rs.public.clone(), "rs"),
        (pem(&rs.public).into_bytes(), "rs"),
        (rs.jwk.to_string().into_bytes(), "rs"),
        (es.public.clone(), "es"),
        (ed.public.clone(), "ed"),
        (Vec::new(), "rs"),
    ] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let forged = Forger::hs256(&public).token(&header(algorithm, kid), &own);
            assert_eq!(verifier.verify(&forged).unwrap_err(), WRONG_ALGORITHM, "{algorithm} as {kid}");
        }
    }
    for (forger, algorithm, kid) in
        [(&rs, "RS256", "es"), (&es, "ES256", "rs"), (&ed, "EdDSA", "es"), (&rs, "PS256", "rs")]
    {
        let forged = forger.token(&header(algorithm, kid), &own);
        assert_eq!(verifier.verify(&forged).unwrap_err(), WRONG_ALGORITHM, "{algorithm} as {kid}");
    }
}

#[test]
fn a_key_id_is_looked_up_and_nothing_else() {
    let World { es, verifier, .. } = world();
    let own = claims().to_string();
    for kid in
        ["../../../../dev/null", "/proc/self/environ", "' UNION SELECT 'secret' --", "es' OR '1'='1", "ES", "es "]
    {
        let empty = Forger::hs256(b"").token(&header("HS256", kid), &own);
        assert_eq!(verifier.verify(&empty).unwrap_err(), AuthError::UnknownKey, "{kid}");
        let signed = es.token(&header("ES256", kid), &own);
        assert_eq!(verifier.verify(&signed).unwrap_err(), AuthError::UnknownKey, "{kid}");
    }
    assert_eq!(verifier.verify(&es.token(r#"{"alg":"ES256"}"#, &own)).unwrap_err(), AuthError::UnknownKey);
    for kid in [json!(7), json!(["es"]), json!({"$ne": null})] {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        assert!(matches!(verifier.verify(&es.token(&header, &own)), Err(AuthError::Invalid(_))), "{kid}");
    }
}

#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let World { verifier, .. } = world();
    let (attacker, own) = (Forger::es256("es"), claims().to_string());
    for (name, value) in [
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("jwk", attacker.jwk.clone()),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut known = json!({"alg": "ES256", "kid": "es"});
        known[name] = value.clone();
        let forged = attacker.token(&known.to_string(), &own);
        assert_eq!(verifier.verify(&forged).unwrap_err(), WRONG_SIGNATURE, "{name}");
        known["kid"] = json!("attacker");
        let forged = attacker.token(&known.to_string(), &own);
        assert_eq!(verifier.verify(&forged).unwrap_err(), AuthError::UnknownKey, "{name}");
    }
}

#[test]
fn what_is_said_twice_is_refused() {
    let World { es, verifier, .. } = world();
    let good = header("ES256", "es");
    for name in ["sub", "iss", "aud", "exp", "roles", "nbf"] {
        let own = claims();
        let value = if own[name].is_null() { json!([]) } else { own[name].clone() };
        let first = own.to_string();
        let twice = format!(r#"{},"{name}":{value},"{name}":{value}}}"#, first.trim_end_matches('}'));
        assert!(matches!(verifier.verify(&es.token(&good, &twice)), Err(AuthError::Invalid(_))), "{name}");
    }
    for twice in [
        r#"{"alg":"none","alg":"ES256","kid":"es"}"#,
        r#"{"alg":"ES256","kid":"es","kid":"rs"}"#,
        r#"{"alg":"ES256","kid":"es","typ":"JWT","typ":"JWT"}"#,
    ] {
        assert!(
            matches!(verifier.verify(&es.token(twice, &claims().to_string())), Err(AuthError::Invalid(_))),
            "{twice}"
        );
    }
}

#[test]
fn times_that_are_no_seconds_are_refused() {
    let World { es, verifier, .. } = world();
    let good = header("ES256", "es");
    let now = Timestamp::now().as_secs();
    let raw = |name: &str, value: &str| {
        let text = claims_with(name, Value::Null);
        es.token(&good, &format!(r#"{},"{name}":{value}}}"#, text.trim_end_matches('}')))
    };
    for value in ["1e308", "-1", "-0.5", "\"4102444800\"", "null", "true", "[]", "1e999", "18446744073709551616"] {
        for name in ["exp", "nbf", "iat"] {
            let refused = verifier.verify(&raw(name, value));
            // A null nbf or iat is none.
            if name == "exp" || value != "null" {
                assert!(matches!(refused, Err(AuthError::Invalid(_))), "{name} {value}: {refused:?}");
            }
        }
    }
    for (name, value) in [
        ("exp", "18446744073709551615"),
        ("exp", "1e10"),
        ("exp", &format!("{}.5", now + 600)),
        ("nbf", &format!("{now}.5")),
        ("iat", &format!("{now}.123456")),
        ("iat", "null"),
    ] {
        assert!(verifier.verify(&raw(name, value)).is_ok(), "{name} {value}");
    }
}

#[test]
fn a_token_counts_within_its_times_and_a_small_leeway() {
    let World { es, verifier, .. } = world();
    let good = header("ES256", "es");
    let now = Timestamp::now().as_secs();
    let verify = |name: &str, value: i64| verifier.verify(&es.token(&good, &claims_with(name, json!(value)))).map(drop);
    assert_eq!(verify("exp", now - 2), Ok(()), "clocks differ");
    assert_eq!(verify("exp", now - 30), Err(AuthError::Expired), "not by the minute that others allow");
    assert_eq!(verify("nbf", now + 2), Ok(()));
    assert_eq!(verify("nbf", now + 30), Err(AuthError::Invalid("not valid yet")));
    assert_eq!(verify("exp", 0), Err(AuthError::Expired));
}

#[test]
fn who_issued_it_and_for_whom_must_be_said() {
    let World { es, verifier, .. } = world();
    let verify = |name: &str, value: Value| {
        verifier.verify(&es.token(&header("ES256", "es"), &claims_with(name, value))).map(drop)
    };
    assert_eq!(verify("iat", Value::Null), Ok(()), "when is for whoever wants to say");
    for name in ["iss", "aud", "sub", "exp"] {
        assert!(matches!(verify(name, Value::Null), Err(AuthError::Invalid(_))), "{name}");
    }
    for (name, value) in [
        ("iss", json!("attacker")),
        ("iss", json!(["auth-service", "attacker"])),
        ("iss", json!(7)),
        ("iss", json!("")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!({"sap": true})),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("roles", json!("admin")),
    ] {
        let refused = verify(name, value.clone());
        assert!(matches!(refused, Err(AuthError::Invalid(_))), "{name} {value}: {refused:?}");
    }
    assert_eq!(verify("aud", json!(["other", "sap"])), Ok(()));
}

#[test]
fn types_and_extensions_that_are_not_understood_are_refused() {
    let World { es, verifier, .. } = world();
    let verify = |name: &str, value: Value| {
        let mut header = json!({"alg": "ES256", "kid": "es"});
        header[name] = value;
        verifier.verify(&es.token(&header.to_string(), &claims().to_string())).map(drop)
    };
    for typ in ["logout+jwt", "dpop+jwt", "JWE", "", "jwt2", "application/", "application/logout+jwt", "text/jwt"] {
        assert_eq!(verify("typ", json!(typ)), Err(AuthError::Invalid("the type is neither JWT nor at+jwt")), "{typ}");
    }
    for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT", "application/jwt"] {
        assert_eq!(verify("typ", json!(typ)), Ok(()), "{typ}");
    }
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!({})] {
        let refused = verify("crit", crit.clone());
        assert_eq!(refused, Err(AuthError::Invalid("critical header extensions are not supported")), "{crit}");
    }
}

#[test]
fn signatures_that_are_none_are_refused() {
    let World { es, rs, ed, verifier } = world();
    let own = claims().to_string();
    for (forger, algorithm, kid, length) in
        [(&es, "ES256", "es", 64), (&rs, "RS256", "rs", 256), (&ed, "EdDSA", "ed", 64)]
    {
        let token = forger.token(&header(algorithm, kid), &own);
        let (message, signature) = token.rsplit_once('.').unwrap();
        let zero = format!("{message}.{}", encode(&vec![0; length]));
        assert_eq!(verifier.verify(&zero).unwrap_err(), WRONG_SIGNATURE, "{algorithm}");
        for broken in
            [String::new(), signature[..signature.len() - 4].to_owned(), format!("{signature}AAAA"), "=".into()]
        {
            assert!(verifier.verify(&format!("{message}.{broken}")).is_err(), "{algorithm} {broken}");
        }
        assert!(verifier.verify(&token).is_ok(), "{algorithm}");
        let changed = forger.token(&header(algorithm, kid), &claims_with("sub", json!("admin")));
        let (changed, _) = changed.rsplit_once('.').unwrap();
        assert_eq!(verifier.verify(&format!("{changed}.{signature}")).unwrap_err(), WRONG_SIGNATURE, "{algorithm}");
    }
}

#[test]
fn text_that_is_no_token_is_refused_whatever_its_length() {
    let World { es, verifier, .. } = world();
    let good = es.token(&header("ES256", "es"), &claims().to_string());
    let huge = es.token(&header("ES256", "es"), &claims_with("jti", json!("x".repeat(1024 * 1024))));
    assert_eq!(verifier.verify(&huge).unwrap_err(), AuthError::Invalid("the token is over 8 KiB"));
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{good}.{good}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\0"),
        good.replacen('.', "=.", 1),
        "ä.ö.ü".into(),
        ".".repeat(1024 * 1024),
    ] {
        assert!(matches!(verifier.verify(&text), Err(AuthError::Invalid(_))), "{:?}", text.get(..64.min(text.len())));
    }
}

#[test]
fn a_published_key_is_used_only_as_it_says() {
    let good = Forger::es256("good");
    let (es, rs) = (Forger::es256("es"), Forger::rs256("rs"));
    let own = claims().to_string();
    let with = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let unusable = [
        (&es, "ES256", with(&es.jwk, "use", json!("enc"))),
        (&es, "ES256", with(&es.jwk, "key_ops", json!(["sign"]))),
        (&es, "ES256", with(&es.jwk, "key_ops", json!([]))),
        (&es, "ES256", with(&es.jwk, "alg", json!("ES384"))),
        (&es, "ES256", with(&es.jwk, "alg", json!("HS256"))),
        (&es, "ES256", with(&es.jwk, "crv", json!("P-384"))),
        (&rs, "RS256", with(&rs.jwk, "alg", json!("RS512"))),
        (&rs, "RS256", with(&rs.jwk, "alg", json!("RSA-OAEP"))),
        (&rs, "RS256", with(&rs.jwk, "n", json!("AQAB"))),
    ];
    for (forger, algorithm, jwk) in unusable {
        let verifier = verifier(&jwks(&[&good.jwk, &jwk]));
        let kid = jwk["kid"].as_str().unwrap();
        assert!(verifier.verify(&forger.token(&header(algorithm, kid), &own)).is_err(), "{jwk}");
        assert!(verifier.verify(&good.token(&header("ES256", "good"), &own)).is_ok(), "{jwk}");
    }
    let secret = b"0123456789abcdef0123456789abcdef";
    let oct = json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": encode(secret)});
    let forged = Forger::hs256(secret).token(&header("HS256", "oct"), &own);
    assert_eq!(verifier(&jwks(&[&good.jwk, &oct])).verify(&forged).unwrap_err(), AuthError::UnknownKey);
    assert!(KeySet::from_jwks(&jwks(&[&oct])).unwrap().is_empty());
    let anonymous = with(&es.jwk, "kid", Value::Null);
    assert!(KeySet::from_jwks(&jwks(&[&anonymous])).unwrap().is_empty(), "a token must name its key");
    assert!(KeySet::from_jwks(b"{\"keys\": []}").unwrap().is_empty());
    assert!(KeySet::from_jwks(&jwks(&vec![&good.jwk; 65])).is_err());
    assert!(KeySet::from_jwks(b"[]").is_err());
}
