use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use sap_comm_core::auth::{ApiKey, ApiKeySet, AuthError, JwtVerifier, KeySet};
use serde_json::json;

use crate::crafted::{Forger, claims, claims_with, jwks};

fn token(forger: &Forger, kid: &str) -> String {
    forger.token(&json!({"alg": "ES256", "kid": kid}).to_string(), &claims().to_string())
}

fn keys(forgers: &[&Forger]) -> KeySet {
    KeySet::from_jwks(&jwks(&forgers.iter().map(|forger| &forger.jwk).collect::<Vec<_>>())).unwrap()
}

fn verifier(keys: KeySet) -> JwtVerifier {
    JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap()
}

#[test]
fn a_hot_token_is_verified_once() {
    let es = Forger::es256("es");
    let (verifier, token) = (verifier(keys(&[&es])), token(&es, "es"));
    let first = verifier.principal(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.clone().principal(&token).unwrap()));
    verifier.set_keys(keys(&[&es]));
    assert!(Arc::ptr_eq(&first, &verifier.principal(&token).unwrap()), "the same keys were fetched again");
    let forgetful = JwtVerifier::builder("auth-service", "sap").keys(keys(&[&es])).cached_tokens(0).build().unwrap();
    assert!(!Arc::ptr_eq(&forgetful.principal(&token).unwrap(), &forgetful.principal(&token).unwrap()));
}

#[test]
fn a_token_is_remembered_as_a_whole() {
    let es = Forger::es256("es");
    let (verifier, token) = (verifier(keys(&[&es])), token(&es, "es"));
    verifier.principal(&token).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = es.token(r#"{"alg":"ES256","kid":"es"}"#, &claims_with("sub", json!("admin")));
    for forged in [
        format!("{message}.{}", "A".repeat(signature.len())),
        format!("{message}."),
        format!("{}.{signature}", other.rsplit_once('.').unwrap().0),
    ] {
        assert!(verifier.principal(&forged).is_err(), "{forged}");
    }
}

#[test]
fn keys_rotate_with_an_overlap_and_a_revoked_key_is_gone_at_once() {
    let (old, new) = (Forger::es256("old"), Forger::es256("new"));
    let verifier = verifier(keys(&[&old]));
    let (of_old, of_new) = (token(&old, "old"), token(&new, "new"));
    assert!(verifier.principal(&of_old).is_ok());
    assert_eq!(verifier.principal(&of_new).unwrap_err(), AuthError::UnknownKey);
    verifier.set_keys(keys(&[&old, &new]));
    assert!(verifier.principal(&of_old).is_ok() && verifier.principal(&of_new).is_ok());
    verifier.set_keys(keys(&[&new]));
    assert_eq!(verifier.principal(&of_old).unwrap_err(), AuthError::UnknownKey);
    assert!(verifier.principal(&of_new).is_ok());
    verifier.set_keys(KeySet::empty());
    assert_eq!(verifier.principal(&of_new).unwrap_err(), AuthError::UnknownKey);
}

#[test]
fn a_key_that_was_replaced_under_the_same_id_is_gone() {
    let (old, new) = (Forger::es256("es"), Forger::es256("es"));
    let verifier = verifier(keys(&[&old]));
    let of_old = token(&old, "es");
    assert!(verifier.principal(&of_old).is_ok());
    verifier.set_keys(keys(&[&new]));
    assert_eq!(verifier.principal(&of_old).unwrap_err(), AuthError::Invalid("wrong signature"));
}

#[test]
fn no_token_outlives_its_key_however_many_verify_meanwhile() {
    let forgers = [Forger::es256("0"), Forger::es256("1")];
    let tokens = Arc::new([token(&forgers[0], "0"), token(&forgers[1], "1")]);
    let verifier = verifier(keys(&[&forgers[0]]));
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (verifier, tokens) = (verifier.clone(), Arc::clone(&tokens));
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for token in &*tokens {
                        // Either may be right at any moment; what counts is seen by whoever sets the keys.
                        let _ = verifier.principal(token);
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for turn in 0..300 {
        let (now, gone) = (turn % 2, (turn + 1) % 2);
        verifier.set_keys(keys(&[&forgers[now]]));
        for _ in 0..3 {
            assert!(verifier.principal(&tokens[now]).is_ok(), "turn {turn}");
            assert_eq!(verifier.principal(&tokens[gone]).unwrap_err(), AuthError::UnknownKey, "turn {turn}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(rounds.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_hot_api_key_makes_no_copy_of_its_principal() {
    let key = ApiKey::generate().unwrap();
    let set = ApiKeySet::new([key.record("user-service", ["users:read"])]);
    let text = key.expose();
    assert!(Arc::ptr_eq(&set.verify(text.expose()).unwrap(), &set.verify(text.expose()).unwrap()));
}
