use sap_comm_core::auth::{ApiKey, ApiKeySet};
use sap_comm_rest::{
    gateway::{Quota, Route, Scheme},
    server::auth::Authenticator,
};

use super::support::{Answer, Running, bearer_for, echo, get, send, serve, to, to_service, upstream, verifier};

#[tokio::test]
async fn a_caller_over_its_limit_is_told_when_to_come_back() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).rate_limit(Quota::per_hour(2)).build().unwrap()).await;
    for remaining in ["1", "0"] {
        let answer = get(&gateway, "/api").await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            (answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")),
            (Some("2"), Some(remaining))
        );
    }
    let answer = get(&gateway, "/api").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("ratelimit-remaining"), Some("0"));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1_790..=1_800).contains(&seconds), "{seconds}");
}

async fn authenticated(upstream: &Running, quota: Quota) -> Running {
    let route = Route::new("/api").to("test").authenticated();
    let gateway = to_service(upstream).authenticator(verifier()).rate_limit(quota).route(route);
    serve(gateway.build().unwrap()).await
}

async fn as_user(gateway: &Running, id: &str) -> u16 {
    send(gateway, "GET", "/api", &[("Authorization", &bearer_for(id, &[], 600))], "").await.status
}

#[tokio::test]
async fn each_principal_has_a_limit_of_its_own() {
    let upstream = upstream(echo()).await;
    let gateway = authenticated(&upstream, Quota::per_hour(1)).await;
    assert_eq!(as_user(&gateway, "usr_1").await, 200);
    assert_eq!(as_user(&gateway, "usr_1").await, 429);
    assert_eq!(as_user(&gateway, "usr_2").await, 200);
}

#[tokio::test]
async fn guessing_tokens_is_limited_by_address() {
    let upstream = upstream(echo()).await;
    let gateway = authenticated(&upstream, Quota::per_hour(2)).await;
    for status in [401, 401, 429] {
        assert_eq!(send(&gateway, "GET", "/api", &[("Authorization", "Bearer x")], "").await.status, status);
    }
    assert_eq!(as_user(&gateway, "usr_1").await, 200);
}

#[tokio::test]
async fn a_spoofed_address_buys_nothing() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).rate_limit(Quota::per_hour(1)).build().unwrap()).await;
    let from = async |address: &str| send(&gateway, "GET", "/api", &[("X-Forwarded-For", address)], "").await.status;
    assert_eq!((from("1.1.1.1").await, from("2.2.2.2").await), (200, 429));

    let trusting = to(&upstream).rate_limit(Quota::per_hour(1)).trusted_proxies(["127.0.0.1"]).scheme(Scheme::Https);
    let gateway = serve(trusting.build().unwrap()).await;
    let from = async |address: &str| send(&gateway, "GET", "/api", &[("X-Forwarded-For", address)], "").await.status;
    assert_eq!((from("1.1.1.1").await, from("2.2.2.2").await, from("6.6.6.6, 1.1.1.1").await), (200, 200, 429));
}

#[tokio::test]
async fn a_route_may_have_its_own_limit_or_none() {
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream)
        .rate_limit(Quota::per_hour(1))
        .route(Route::new("/login").to("test").public().rate_limit(Quota::per_hour(2)))
        .route(Route::new("/health").to("test").public().unlimited())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    for status in [200, 200, 429] {
        assert_eq!(get(&gateway, "/login").await.status, status);
    }
    for _ in 0..5 {
        let answer = get(&gateway, "/health").await;
        assert_eq!((answer.status, answer.header("ratelimit-limit")), (200, None));
    }
}

/// Asks as a client of some address that shows these credentials.
async fn ask(gateway: &Running, address: &str, credentials: &[(&str, &str)]) -> Answer {
    let headers = [credentials, &[("X-Forwarded-For", address)]].concat();
    send(gateway, "GET", "/api", &headers, "").await
}

/// A gateway that checks two wrong signatures of one address.
async fn doubting(service: &Running) -> (Running, String) {
    let key = ApiKey::generate().unwrap();
    let keys = ApiKeySet::new([key.record("job", ["jobs:run"])]);
    let gateway = to_service(service)
        .failed_credentials(Some(Quota::per_hour(2)))
        .authenticator(Authenticator::builder().jwt(verifier()).api_keys(keys).build().unwrap())
        .trusted_proxies(["127.0.0.1"])
        .scheme(Scheme::Https)
        .route(Route::new("/api").to("test").authenticated());
    (serve(gateway.build().unwrap()).await, key.expose().expose().clone())
}

#[tokio::test]
async fn an_address_that_failed_too_often_has_only_known_tokens_looked_at() {
    let upstream = upstream(echo()).await;
    let (gateway, _) = doubting(&upstream).await;
    let ask = async |address: &str, token: &str| ask(&gateway, address, &[("Authorization", token)]).await;
    let (known, fresh) = (bearer_for("usr_1", &[], 600), bearer_for("usr_2", &[], 600));
    assert_eq!(ask("1.1.1.1", &known).await.status, 200);
    let forged = format!("{fresh}x");
    for _ in 0..3 {
        assert_eq!(ask("1.1.1.1", &forged).await.status, 401);
    }
    let answer = ask("1.1.1.1", &forged).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"));
    assert!(answer.header("retry-after").is_some_and(|after| after != "0"), "{answer:?}");
    assert_eq!(ask("1.1.1.1", &known).await.status, 200, "what is known costs nothing");
    assert_eq!(ask("1.1.1.1", &fresh).await.status, 429);
    assert_eq!(ask("2.2.2.2", &fresh).await.status, 200);
}

#[tokio::test]
async fn a_service_that_proves_itself_is_held_up_by_no_failure() {
    let upstream = upstream(echo()).await;
    let (gateway, key) = doubting(&upstream).await;
    let fresh = bearer_for("usr_2", &[], 600);
    let forged = format!("{fresh}x");
    let behind = async |token: &str| ask(&gateway, "1.1.1.1", &[("X-Api-Key", &key), ("Authorization", token)]).await;
    for _ in 0..5 {
        assert_eq!(behind(&forged).await.status, 401);
    }
    for status in [401, 401, 401, 429] {
        assert_eq!(ask(&gateway, "1.1.1.1", &[("Authorization", &forged)]).await.status, status);
    }
    assert_eq!((behind(&forged).await.status, behind(&fresh).await.status), (401, 200));
}

#[tokio::test]
async fn credentials_without_a_wrong_signature_are_not_counted() {
    let upstream = upstream(echo()).await;
    let (gateway, key) = doubting(&upstream).await;
    let (expired, fresh) = (bearer_for("usr_1", &[], -600), bearer_for("usr_2", &[], 600));
    let wrong = format!("{key}x");
    for credential in [("Authorization", &*expired), ("Authorization", "Bearer junk"), ("X-Api-Key", &wrong)] {
        for _ in 0..5 {
            assert_eq!(ask(&gateway, "1.1.1.1", &[credential]).await.status, 401, "{credential:?}");
        }
    }
    assert_eq!(ask(&gateway, "1.1.1.1", &[("Authorization", &fresh)]).await.status, 200);
}
