use http::{StatusCode, header};
use sap_comm_core::{
    Context, Secret, Timestamp,
    auth::{Audience, Claims, JwtSigner, JwtVerifier, KeySet},
};
use serde_json::json;

use crate::harness::{App, post};

const SECRET: &str = "a shared secret of at least 32 bytes";

fn verifier() -> JwtVerifier {
    let keys = KeySet::hs256(&Secret::new(SECRET.into())).unwrap();
    JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap()
}

fn token(seconds: i64) -> String {
    let now = Timestamp::now().as_secs();
    let claims = Claims {
        iss: "auth-service".into(),
        sub: "usr_1".into(),
        aud: Audience::One("sap".into()),
        exp: u64::try_from(now + seconds).unwrap(),
        iat: u64::try_from(now).ok(),
        nbf: None,
        jti: None,
        roles: Vec::new(),
        scope: String::new(),
    };
    JwtSigner::hs256(&Secret::new(SECRET.into())).unwrap().sign(&claims).unwrap()
}

#[tokio::test]
async fn the_calls_of_one_request_are_one_batch_in_its_trace() {
    let app = App::new();
    let context = Context::root();
    let mut request = post(json!({"query": "{ users { name friend { name } } again: users { name } }"}).to_string());
    request.headers_mut().insert("traceparent", context.trace().traceparent().parse().unwrap());
    let answer = app.send(request).await;
    assert_eq!(answer.body["data"]["users"][0]["friend"]["name"], "name of u0f");
    let batches = app.batches.lock().unwrap();
    assert_eq!(batches.len(), 1, "{batches:?}");
    assert_eq!(batches[0].0, ["u0", "u0f", "u1", "u1f"]);
    assert_eq!(batches[0].1, context.trace().trace_id());
}

#[tokio::test]
async fn nothing_is_shared_between_requests() {
    let app = App::new();
    for _ in 0..2 {
        app.query("{ user(id: \"x\") { name } }").await;
    }
    assert_eq!(app.batches.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_principal_and_the_token_reach_the_resolvers() {
    let app = App::with(|builder| builder.authenticate(verifier()));
    let token = token(600);
    let mut request = post(json!({"query": "{ whoami }"}).to_string());
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    assert_eq!(app.send(request).await.body["data"]["whoami"], format!("usr_1 {token}"));
}

#[tokio::test]
async fn a_missing_wrong_or_expired_token_is_refused() {
    let app = App::with(|builder| builder.authenticate(verifier()));
    for (authorization, code) in [
        (None, "UNAUTHENTICATED"),
        (Some("Bearer rubbish".to_owned()), "INVALID_TOKEN"),
        (Some("Basic dXNlcg==".to_owned()), "INVALID_TOKEN"),
        (Some(format!("Bearer {}", token(-60))), "TOKEN_EXPIRED"),
    ] {
        let mut request = post(json!({"query": "{ whoami }"}).to_string());
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        let answer = app.send(request).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, code));
        assert!(answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    }
}

#[tokio::test]
async fn anonymous_requests_pass_where_they_may() {
    let app = App::with(|builder| builder.authenticate(verifier()).allow_anonymous());
    assert_eq!(app.query("{ whoami }").await.body["data"]["whoami"], "nobody without token");
    let mut request = post(json!({"query": "{ whoami }"}).to_string());
    request.headers_mut().insert(header::AUTHORIZATION, "Bearer rubbish".parse().unwrap());
    assert_eq!(app.send(request).await.status, StatusCode::UNAUTHORIZED);
}
