use sap_comm_core::auth::{ApiKey, ApiKeySet};
use sap_comm_rest::{gateway::Route, server::auth::Authenticator};

use super::support::{Running, bearer, bearer_for, echo, send, serve, to_service, upstream, verifier};

async fn guarded(upstream: &Running) -> Running {
    let gateway = to_service(upstream)
        .authenticator(verifier())
        .route(Route::new("/users").to("test").authenticated())
        .route(Route::new("/users/{id}/keys").to("test").authenticated().roles(["admin", "owner"]))
        .route(Route::new("/scoped").to("test").authenticated().scopes(["users:read", "users:write"]))
        .build();
    serve(gateway.unwrap()).await
}

async fn ask(gateway: &Running, path: &str, authorization: &[&str]) -> (u16, String, Option<String>) {
    let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", *value)).collect();
    let answer = send(gateway, "GET", path, &headers, "").await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status, code, answer.header("www-authenticate").map(str::to_owned))
}

#[tokio::test]
async fn nobody_gets_in_without_a_valid_token() {
    let upstream = upstream(echo()).await;
    let gateway = guarded(&upstream).await;
    let (status, code, challenge) = ask(&gateway, "/users", &[]).await;
    assert_eq!((status, code.as_str(), challenge.as_deref()), (401, "UNAUTHENTICATED", Some("Bearer")));
    let expired = bearer_for("usr_1", &[], -60);
    let forged = format!("{}x", bearer(&["admin"]));
    for (token, expected) in
        [(expired.as_str(), "TOKEN_EXPIRED"), (&forged, "INVALID_TOKEN"), ("Bearer x", "INVALID_TOKEN")]
    {
        let (status, code, challenge) = ask(&gateway, "/users", &[token]).await;
        assert_eq!((status, code.as_str()), (401, expected), "{token}");
        assert!(challenge.unwrap().contains("invalid_token"));
    }
    assert_eq!(ask(&gateway, "/users", &[&bearer(&[])]).await.0, 200);
}

#[tokio::test]
async fn two_authorizations_are_refused_whichever_is_right() {
    let upstream = upstream(echo()).await;
    let gateway = guarded(&upstream).await;
    let good = bearer(&["admin"]);
    for pair in [[good.as_str(), "Bearer x"], ["Bearer x", &good], [&good, &good]] {
        assert_eq!(ask(&gateway, "/users", &pair).await.0, 400);
    }
}

#[tokio::test]
async fn a_role_or_scope_that_is_missing_forbids() {
    let upstream = upstream(echo()).await;
    let gateway = guarded(&upstream).await;
    let (status, code, _) = ask(&gateway, "/users/1/keys", &[&bearer(&["user"])]).await;
    assert_eq!((status, code.as_str()), (403, "FORBIDDEN"));
    assert_eq!(ask(&gateway, "/users/1/keys", &[&bearer(&["owner"])]).await.0, 200);
    assert_eq!(ask(&gateway, "/scoped", &[&bearer(&["admin"])]).await.0, 403);
}

#[tokio::test]
async fn no_spelling_of_a_path_slips_past_its_role() {
    let upstream = upstream(echo()).await;
    let gateway = guarded(&upstream).await;
    let user = bearer(&["user"]);
    for (path, status) in [
        ("/users/1/keys", 403),
        ("/users/1/keys/", 403),
        ("/users/1/%6beys", 403),
        ("/users/%31/keys/x", 403),
        ("/users/me/keys?/users", 403),
        ("/users//1/keys", 400),
        ("/users/x/../1/keys", 400),
        ("/users/x/%2e%2e/1/keys", 400),
        ("/users/1%2fkeys", 400),
        ("/users/1%5ckeys", 400),
        ("/users/1;x/keys", 400),
        ("/users/1/keys;x", 400),
        ("/users/1/%256beys", 400),
        ("/users/1/keys%00", 400),
        ("/users/1/..;/1/keys", 400),
    ] {
        assert_eq!(ask(&gateway, path, &[&user]).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn the_services_verify_the_token_themselves() {
    let upstream = upstream(echo()).await;
    let gateway = guarded(&upstream).await;
    let token = bearer(&["admin"]);
    let headers = [("Authorization", token.as_str()), ("Connection", "authorization")];
    let answer = send(&gateway, "GET", "/users", &headers, "").await;
    assert_eq!(answer.sent("authorization").as_deref(), Some(token.as_str()));
    assert_eq!(answer.sent("x-principal"), None);
}

#[tokio::test]
async fn services_get_in_by_their_keys_and_scopes_until_they_are_revoked() {
    let upstream = upstream(echo()).await;
    let (reader, other) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = ApiKeySet::new([reader.record("reports", ["users:read"]), other.record("mailer", ["mail:send"])]);
    let authenticator = Authenticator::builder().jwt(verifier()).api_keys(keys.clone()).build().unwrap();
    let gateway = to_service(&upstream)
        .authenticator(authenticator)
        .route(Route::new("/scoped").to("test").authenticated().scopes(["users:read"]));
    let gateway = serve(gateway.build().unwrap()).await;
    let ask = async |values: &[&str]| {
        let headers: Vec<_> = values.iter().map(|value| ("X-Api-Key", *value)).collect();
        let answer = send(&gateway, "GET", "/scoped", &headers, "").await;
        assert!(
            !values.iter().any(|value| String::from_utf8_lossy(&answer.body).contains(value)) || answer.status == 200
        );
        answer.status
    };
    let (reader, other) = (reader.expose(), other.expose());
    assert_eq!(ask(&[reader.expose()]).await, 200);
    assert_eq!(ask(&[other.expose()]).await, 403, "its scope is another");
    assert_eq!(ask(&[]).await, 401);
    assert_eq!(ask(&[&format!("{}x", reader.expose())]).await, 401);
    assert_eq!(ask(&[reader.expose(), other.expose()]).await, 400, "one of them could be looked at by somebody else");
    keys.replace([]);
    assert_eq!(ask(&[reader.expose()]).await, 401, "revoked");
}
