//! Tokens of any header, claims and signature, and the keys that sign them.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
        RSA_PSS_SHA512, RsaEncoding,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sap_comm_core::Timestamp;
use serde_json::{Value, json};

/// A private key that signs whatever it is given.
pub(crate) struct Forger {
    /// What the key would be published as.
    pub(crate) jwk: Value,
    /// The bytes of the public key, as an attacker finds them.
    pub(crate) public: Vec<u8>,
    sign: Sign,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

impl Forger {
    pub(crate) fn es256(kid: &str) -> Self {
        Self::ec(kid, "ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(crate) fn es384(kid: &str) -> Self {
        Self::ec(kid, "ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ec(kid: &str, algorithm: &str, curve: &str, signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let (x, y) = public[1..].split_at(public.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "kid": kid, "use": "sig", "alg": algorithm,
            "x": encode(x), "y": encode(y)});
        let sign = move |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        Self { jwk, public, sign: Box::new(sign) }
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(&public)});
        Self { jwk, public, sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) }
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        Self::rsa(kid, "RS256", &RSA_PKCS1_SHA256)
    }

    /// Of one of the six algorithms of RSA keys.
    pub(crate) fn of_rsa(kid: &str, algorithm: &str) -> Self {
        let encoding: &dyn RsaEncoding = match algorithm {
            "RS256" => &RSA_PKCS1_SHA256,
            "RS384" => &RSA_PKCS1_SHA384,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            "PS384" => &RSA_PSS_SHA384,
            "PS512" => &RSA_PSS_SHA512,
            other => panic!("{other} is none"),
        };
        Self::rsa(kid, algorithm, encoding)
    }

    fn rsa(kid: &str, algorithm: &str, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        // SEQUENCE { INTEGER modulus, INTEGER 65537 } of a key of 2048 bits.
        let public = pair.public_key().as_ref().to_vec();
        let (modulus, exponent) = (&public[9..265], &public[267..]);
        let jwk = json!({"kty": "RSA", "kid": kid, "use": "sig", "key_ops": ["verify"], "alg": algorithm,
            "n": encode(modulus), "e": encode(exponent)});
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Self { jwk, public, sign: Box::new(sign) }
    }

    pub(crate) fn hs256(secret: &[u8]) -> Self {
        Self::hs(hmac::HMAC_SHA256, secret)
    }

    pub(crate) fn hs(algorithm: hmac::Algorithm, secret: &[u8]) -> Self {
        let key = hmac::Key::new(algorithm, secret);
        let sign = move |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec();
        Self { jwk: Value::Null, public: secret.to_vec(), sign: Box::new(sign) }
    }

    /// A token of exactly this header and these claims.
    pub(crate) fn token(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = encode(&(self.sign)(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn jwks(keys: &[&Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// Claims that are good for ten minutes.
pub(crate) fn claims() -> Value {
    let now = Timestamp::now().as_secs();
    json!({"iss": "auth-service", "aud": "sap", "sub": "usr_1", "exp": now + 600, "iat": now})
}

/// The same, with one of them replaced, or left out for null.
pub(crate) fn claims_with(name: &str, value: Value) -> String {
    let mut claims = claims();
    match (&mut claims, value) {
        (Value::Object(claims), Value::Null) => drop(claims.remove(name)),
        (claims, value) => claims[name] = value,
    }
    claims.to_string()
}
