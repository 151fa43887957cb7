use axum::{Router, routing::get};
use http::{HeaderMap, HeaderName, HeaderValue};
use sap_comm_core::{
    Context, Principal, Timestamp,
    auth::{ApiKey, ApiKeySet, Claims},
};
use sap_comm_rest::server::auth::{Authenticator, CurrentUser, authenticate, require_scope};
use serde_json::json;

use crate::support::{Answer, Issuer, Running, ask, claims, serve};

struct World {
    issuer: Issuer,
    delegate: String,
    worker: String,
    server: Running,
}

async fn world() -> World {
    let issuer = Issuer::new();
    let (delegate, worker) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = ApiKeySet::new([
        delegate.record("api-gateway", ["delegate"]),
        worker.record("notification-service", ["users:read"]),
    ]);
    let authenticator = Authenticator::builder().jwt(issuer.verifier()).api_keys(keys).build().unwrap();
    let who = async |user: CurrentUser| {
        let context = Context::current();
        axum::Json(json!({
            "id": user.id,
            "roles": user.roles,
            "attempt": context.attempt(),
            "remaining": context.remaining().map(|remaining| remaining.as_millis() as u64),
        }))
    };
    let slow = async || std::future::pending::<()>().await;
    let router = Router::new()
        .route("/who", get(who))
        .route("/slow", get(slow))
        .route("/scoped", get(who).layer(require_scope("users:read")))
        .layer(authenticate(authenticator.clone()))
        .route("/open", get(async || "open"))
        .route(
            "/maybe",
            get(async || Context::current().principal().is_some().to_string())
                .layer(authenticate(authenticator).optional()),
        );
    let key = |key: &ApiKey| key.expose().expose().clone();
    World { issuer, delegate: key(&delegate), worker: key(&worker), server: serve(router).await }
}

impl World {
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        ask(self.server.addr, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await
    }

    fn bearer(&self, user: &str) -> String {
        format!("Bearer {}", self.issuer.token(user, &["user"]))
    }
}

/// The principal of an administrator, as a peer sends it.
const ADMIN: &str = "eyJpZCI6InVzcl9hZG1pbiIsImtpbmQiOiJ1c2VyIiwicm9sZXMiOlsiYWRtaW4iXX0";

#[tokio::test]
async fn a_token_and_a_key_tell_who_asks() {
    let world = world().await;
    let answer = world.get("/who", &[("authorization", &world.bearer("usr_1"))]).await;
    assert_eq!((&answer.json()["id"], &answer.json()["roles"]), (&"usr_1".into(), &json!(["user"])));
    let answer = world.get("/who", &[("x-api-key", &world.worker)]).await;
    assert_eq!(answer.json()["id"], "notification-service");
    assert_eq!(world.get("/open", &[]).await.status, 200);
}

#[tokio::test]
async fn an_optional_credential_may_be_left_out_and_must_not_be_wrong() {
    let world = world().await;
    assert_eq!(world.get("/maybe", &[]).await.body, "false");
    assert_eq!(world.get("/maybe", &[("authorization", &world.bearer("usr_1"))]).await.body, "true");
    assert_eq!(world.get("/maybe", &[("authorization", "Bearer x")]).await.status, 401);
}

#[tokio::test]
async fn a_refused_credential_is_an_envelope() {
    let world = world().await;
    let expired = world.issuer.sign(&Claims { exp: 1_000_000, ..claims("usr_1") });
    let bearer = world.bearer("usr_1");
    for (headers, status, code) in [
        (&[][..], 401, "UNAUTHENTICATED"),
        (&[("authorization", format!("Bearer {expired}"))], 401, "TOKEN_EXPIRED"),
        (&[("authorization", "Bearer rubbish".to_owned())], 401, "INVALID_TOKEN"),
        (&[("authorization", format!("Bearer {}", "x".repeat(9_000)))], 401, "INVALID_TOKEN"),
        (&[("authorization", "Basic YTpi".to_owned())], 401, "INVALID_TOKEN"),
        (&[("authorization", bearer.clone()), ("authorization", bearer.clone())], 400, "BAD_REQUEST"),
        (&[("x-api-key", "sap_a_b".to_owned())], 401, "INVALID_TOKEN"),
        (&[("x-api-key", world.worker.clone()), ("x-api-key", world.worker.clone())], 400, "BAD_REQUEST"),
        (&[("x-api-key", world.worker.clone()), ("authorization", "Bearer x".to_owned())], 401, "INVALID_TOKEN"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = world.get("/who", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
}

#[tokio::test]
async fn only_a_delegate_speaks_for_a_user() {
    let world = world().await;
    let answer = world.get("/who", &[("x-api-key", &world.delegate), ("x-principal", ADMIN)]).await;
    assert_eq!((&answer.json()["id"], &answer.json()["roles"]), (&"usr_admin".into(), &json!(["admin"])));
    let answer = world.get("/who", &[("x-api-key", &world.worker), ("x-principal", ADMIN)]).await;
    assert_eq!((&answer.json()["id"], &answer.json()["roles"]), (&"notification-service".into(), &json!([])));
    let bearer = world.bearer("usr_1");
    let answer =
        world.get("/who", &[("x-api-key", &world.delegate), ("x-principal", ADMIN), ("authorization", &bearer)]).await;
    assert_eq!(answer.json()["id"], "usr_1", "a token that was verified here outweighs a peer's word");
    let answer = world.get("/who", &[("authorization", &bearer), ("x-principal", ADMIN)]).await;
    assert_eq!(answer.json()["id"], "usr_1");
}

#[tokio::test]
async fn a_peer_that_asks_for_nobody_is_not_taken_for_the_user() {
    let world = world().await;
    for key in [&world.delegate, &world.worker] {
        let nobody = [("x-api-key", key.as_str()), ("x-principal", "-")];
        for path in ["/who", "/scoped"] {
            let answer = world.get(path, &nobody).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"), "{path}");
        }
        assert_eq!(world.get("/maybe", &nobody).await.body, "false");
        let bearer = world.bearer("usr_1");
        let answer = world.get("/who", &[&nobody[..], &[("authorization", bearer.as_str())]].concat()).await;
        assert_eq!(answer.json()["id"], "usr_1");
    }
}

#[tokio::test]
async fn a_user_who_is_not_believed_is_not_the_delegate() {
    let world = world().await;
    let bearer = world.bearer("usr_1");
    let user = Principal { expires_at: Some(Timestamp::from_millis(1)), ..Principal::user("usr_admin", ["admin"]) };
    let mut expired = String::new();
    Context::root().with_principal(user).inject(|name, value| {
        if name == "x-principal" {
            expired = value;
        }
    });
    for said in [&expired, "rubbish", "e30", "", "-"] {
        let named = [("x-api-key", world.delegate.as_str()), ("x-principal", said)];
        let answer = world.get("/who", &named).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"), "{said:?}");
        assert_eq!(world.get("/maybe", &named).await.body, "false", "{said:?}");
        let answer = world.get("/who", &[&named[..], &[("authorization", bearer.as_str())]].concat()).await;
        assert_eq!(answer.json()["id"], "usr_1", "{said:?}");
    }
    assert_eq!(world.get("/who", &[("x-api-key", &world.delegate)]).await.json()["id"], "api-gateway");
    // A service that may not speak for users says of them what its context says, and asks for itself.
    for said in [ADMIN, &expired, "rubbish"] {
        let answer = world.get("/scoped", &[("x-api-key", &world.worker), ("x-principal", said)]).await;
        assert_eq!(answer.json()["id"], "notification-service", "{said:?}");
    }
}

#[tokio::test]
async fn a_scope_may_be_the_peers() {
    let world = world().await;
    assert_eq!(world.get("/scoped", &[("x-api-key", &world.worker)]).await.status, 200);
    assert_eq!(world.get("/scoped", &[("x-api-key", &world.delegate)]).await.status, 403);
    let bearer = world.bearer("usr_1");
    assert_eq!(world.get("/scoped", &[("authorization", &bearer)]).await.status, 403);
    assert_eq!(world.get("/scoped", &[("x-api-key", &world.worker), ("authorization", &bearer)]).await.status, 200);
}

#[tokio::test]
async fn a_peer_sets_deadline_and_attempt_and_others_do_not() {
    let world = world().await;
    let hop = [("x-timeout-ms", "5000"), ("x-attempt", "2")];
    let peer = world.get("/who", &[&[("x-api-key", world.worker.as_str())], &hop[..]].concat()).await.json();
    assert_eq!(peer["attempt"], 2);
    assert!(peer["remaining"].as_u64().is_some_and(|left| left <= 5_000), "{peer}");
    let bearer = world.bearer("usr_1");
    let user = world.get("/who", &[&[("authorization", bearer.as_str())], &hop[..]].concat()).await.json();
    assert_eq!(user["attempt"], 1);
    assert!(user["remaining"].as_u64().is_some_and(|left| left > 20_000), "{user}");
}

#[tokio::test]
async fn a_handler_ends_with_its_peers_patience() {
    let world = world().await;
    let answer = world.get("/slow", &[("x-api-key", &world.worker), ("x-timeout-ms", "50")]).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn where_no_tokens_are_taken_an_authorization_is_for_somebody_behind() {
    let key = ApiKey::generate().unwrap();
    let keys = ApiKeySet::new([key.record("worker", [""; 0])]);
    let key = key.expose().expose().clone();
    let authenticator = Authenticator::builder().api_keys(keys).build().unwrap();
    let identify = async |headers: &[(&'static str, &str)]| {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(pair).collect();
        authenticator.identify(&headers).await.map(|identity| identity.map(|identity| identity.principal.id.clone()))
    };
    for authorization in ["Bearer abc", "Basic YTpi", "AWS4-HMAC-SHA256 Credential=a, Signature=b", "abc", "é"] {
        let with_key = [("x-api-key", key.as_str()), ("authorization", authorization)];
        assert_eq!(identify(&with_key).await.unwrap().as_deref(), Some("worker"), "{authorization}");
        assert_eq!(identify(&with_key[1..]).await.unwrap(), None, "{authorization}");
    }
    let twice = [("authorization", "Basic YTpi"), ("authorization", "Basic YTpi")];
    assert_eq!(identify(&twice).await.unwrap_err().status().as_u16(), 400);
}

#[test]
fn an_authenticator_that_could_verify_nothing_is_not_built() {
    let error = Authenticator::builder().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "configuration: jwt: is missing, and there are no `api_keys` either: nothing could be verified"
    );
}
