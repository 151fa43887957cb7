use std::{sync::Arc, time::Duration};

use axum::{Router, routing::get};
use sap_comm_core::{ApiError, Context, Endpoint, StaticResolver};
use sap_comm_resilience::{CircuitBreaker, Retry, State};
use sap_comm_rest::{
    client::{Client, ClientBuilder, ClientError},
    server::ServerConfig,
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{PATIENCE, Script, client_of, plain_client, serve, serve_with};

const OK: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n42";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn retrying(endpoint: Endpoint) -> ClientBuilder {
    let retry = Retry::builder().max_retries(3).min_delay(Duration::from_millis(1)).build().unwrap();
    client_of(endpoint).without_circuit_breaker().retry(retry)
}

/// An address at which nobody listens.
async fn nowhere() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

#[tokio::test]
async fn a_busy_service_is_asked_again_when_it_says() {
    let service = Script::serve(&[BUSY, OK]).await;
    let begun = tokio::time::Instant::now();
    let answer: u8 = retrying(service.endpoint()).build().unwrap().get("/", []).fetch().await.unwrap();
    assert_eq!((answer, service.connections()), (42, 2));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_changes_something_is_not_sent_twice() {
    let service = Script::serve(&[BROKEN, OK]).await;
    let client = retrying(service.endpoint()).build().unwrap();
    let error = client.post("/", []).json(&1).fetch::<u8>().await.unwrap_err();
    assert!(matches!(error, ClientError::Api(_)), "{error:?}");
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn with_an_idempotency_key_it_is() {
    let service = Script::serve(&[BROKEN, "", OK]).await;
    let client = retrying(service.endpoint()).build().unwrap();
    let answer: u8 = client.post("/", []).json(&1).idempotency_key("key_1").fetch().await.unwrap();
    assert_eq!((answer, service.connections()), (42, 3));
    let requests = service.requests();
    assert!(requests.iter().all(|request| request.contains("idempotency-key: key_1")), "{requests:?}");
}

#[tokio::test]
async fn an_attempt_counts_in_what_it_sends() {
    let service = Script::serve(&[BROKEN, OK]).await;
    let client = retrying(service.endpoint()).api_key("sap_a_b".to_owned().into()).build().unwrap();
    client.get("/", []).fetch::<u8>().await.unwrap();
    let requests = service.requests();
    assert!(!requests[0].contains("x-attempt") && requests[1].contains("x-attempt: 2"), "{requests:?}");
    let id = |request: &str| request.lines().find(|line| line.starts_with("x-request-id")).map(str::to_owned);
    assert_eq!(id(&requests[0]), id(&requests[1]));
}

#[tokio::test]
async fn a_call_that_was_never_sent_may_be_made_again_whatever_it_is() {
    let service = Script::serve(&[OK]).await;
    let resolver = StaticResolver::new();
    resolver.set("user-service", [nowhere().await, service.endpoint()]);
    let retry = Retry::builder().max_retries(9).min_delay(Duration::from_millis(1)).build().unwrap();
    let client = Client::builder("user-service")
        .resolver(Arc::new(resolver))
        .without_circuit_breaker()
        .retry(retry)
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(client.post("/", []).json(&1).fetch::<u8>().await.unwrap(), 42);
    }
}

#[tokio::test]
async fn rubbish_is_an_error_and_never_more() {
    let two_lengths = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n42";
    let huge_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
    for answer in [
        "",
        "rubbish",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        two_lengths,
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n42",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\n",
        &huge_head,
    ] {
        let service = Script::serve(&[answer]).await;
        let error = plain_client(service.endpoint()).get("/", []).fetch::<u8>().await.unwrap_err();
        assert!(matches!(error, ClientError::Broken { .. }), "{}: {error:?}", &answer[..answer.len().min(60)]);
        assert_eq!(ApiError::from(error).code().as_str(), "BAD_GATEWAY");
    }
}

#[tokio::test]
async fn an_error_that_is_no_envelope_is_what_its_status_stands_for() {
    for (answer, code) in [
        ("HTTP/1.1 404 No\r\ncontent-length: 6\r\n\r\n<html>", "NOT_FOUND"),
        ("HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\n{\"error\":", "SERVICE_UNAVAILABLE"),
        ("HTTP/1.1 500 No\r\ncontent-length: 19\r\n\r\n{\"error\":{\"a\":true}}", "INTERNAL_ERROR"),
    ] {
        let service = Script::serve(&[answer]).await;
        let error = plain_client(service.endpoint()).get("/", []).fetch::<Value>().await.unwrap_err();
        let ClientError::Api(api) = error else { panic!("{error:?}") };
        assert_eq!(api.code().as_str(), code);
    }
}

#[tokio::test]
async fn json_of_another_shape_is_named() {
    let service = Script::serve(&["HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"a\":[1,\"2\"]}"]).await;
    #[derive(Debug, serde::Deserialize)]
    struct Expected {
        #[serde(rename = "a")]
        _a: Vec<u8>,
    }
    let error = plain_client(service.endpoint()).get("/", []).fetch::<Expected>().await.unwrap_err();
    assert!(matches!(error, ClientError::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("a[1]"), "{error}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let server = serve(Router::new().route("/", get(async || "\"xxxxxxxxxx\""))).await;
    let client = client_of(server.endpoint()).max_response(8).build().unwrap();
    let error = client.get("/", []).fetch::<String>().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 8, .. }), "{error:?}");
}

#[tokio::test]
async fn an_attempt_has_its_timeout_and_a_call_its_deadline() {
    let router = Router::new().route("/", get(async || std::future::pending::<()>().await));
    let server = serve(router).await;
    let client = client_of(server.endpoint()).timeout(Duration::from_millis(50)).without_retry().build().unwrap();
    let error = client.get("/", []).send().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert_eq!(ApiError::from(error).code().as_str(), "GATEWAY_TIMEOUT");
    let patient = client_of(server.endpoint()).timeout(PATIENCE).build().unwrap();
    let context = Context::root().with_timeout(Duration::from_millis(50));
    let error = context.scope(patient.get("/", []).send()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    let counted = patient.circuit_breaker().unwrap().snapshot();
    assert_eq!(counted.failed, 0, "a caller without time says nothing about the service");
}

#[tokio::test]
async fn a_breaker_opens_when_a_service_goes_and_closes_when_it_is_back() {
    let breaker = CircuitBreaker::builder("user-service")
        .minimum_throughput(3)
        .reset_timeout(Duration::from_millis(100))
        .reset_jitter(0.0)
        .build()
        .unwrap();
    let router = || Router::new().route("/", get(async || "42"));
    let server = serve(router()).await;
    let (addr, endpoint) = (server.addr, server.endpoint());
    let client = client_of(endpoint).circuit_breaker(breaker.clone()).without_retry().build().unwrap();
    assert_eq!(client.get("/", []).fetch::<u8>().await.unwrap(), 42);

    server.shutdown.cancel();
    server.ended().await.unwrap();
    let rejected = loop {
        match client.get("/", []).fetch::<u8>().await.unwrap_err() {
            ClientError::Open(rejected) => break rejected,
            ClientError::Connect { .. } | ClientError::Broken { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(breaker.state(), State::Open);
    let api = ApiError::from(ClientError::Open(rejected.clone()));
    assert_eq!((api.code().as_str(), api.status().as_u16()), ("CIRCUIT_OPEN", 503));
    assert!(api.retry_after_hint().is_some());

    let _back = serve_with(router(), &addr.to_string(), ServerConfig::default()).await;
    tokio::time::sleep(rejected.retry_after()).await;
    assert_eq!(client.get("/", []).fetch::<u8>().await.unwrap(), 42);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn a_callers_own_mistakes_do_not_open_the_breaker() {
    let server = serve(Router::new()).await;
    let client = client_of(server.endpoint()).build().unwrap();
    for _ in 0..30 {
        assert!(matches!(client.get("/nothing", []).send().await, Err(ClientError::Api(_))));
    }
    assert_eq!(client.circuit_breaker().unwrap().state(), State::Closed);
}

#[tokio::test]
async fn a_service_without_endpoints_fails_at_once() {
    let resolver = StaticResolver::new();
    resolver.set("user-service", []);
    let client = Client::builder("user-service").resolver(Arc::new(resolver)).build().unwrap();
    let error = client.get("/", []).send().await.unwrap_err();
    assert!(matches!(error, ClientError::Unresolved(_)), "{error:?}");
    let api = ApiError::from(error);
    assert_eq!((api.code().as_str(), api.retry_after_hint()), ("SERVICE_UNAVAILABLE", Some(Duration::from_secs(1))));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let error = Client::builder("user-service").build().unwrap_err();
    assert_eq!(error.to_string(), "configuration: resolver: is missing, and there is no balancer either");
    let builder = || Client::builder("user-service").resolver(Arc::new(StaticResolver::new()));
    assert_eq!(builder().timeout(Duration::ZERO).build().unwrap_err().field(), "timeout");
    assert_eq!(builder().max_response(0).build().unwrap_err().field(), "max_response");
    let error = builder().api_key("bad\nkey".to_owned().into()).build().unwrap_err();
    assert!(!error.to_string().contains("bad") && error.field() == "api_key");
}
