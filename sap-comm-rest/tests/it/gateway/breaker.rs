use std::time::Duration;

use axum::{Router, http::StatusCode};
use sap_comm_resilience::{CircuitBreakerConfig, State};
use sap_comm_rest::gateway::{Gateway, Route};

use super::support::{Wire, echo, get, resolver, serve, to, upstream, upstream_at};

fn sensitive() -> CircuitBreakerConfig {
    let mut config = CircuitBreakerConfig::default();
    config.minimum_throughput = 3;
    config.reset_timeout = Duration::from_millis(300);
    config.reset_jitter = 0.0;
    config.ramp = Duration::ZERO;
    config
}

#[tokio::test]
async fn the_breaker_opens_when_the_service_goes_and_closes_when_it_is_back() {
    let service = upstream(echo()).await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    assert_eq!(get(&edge, "/api").await.status, 200);

    let address = service.stop().await;
    let mut codes = Vec::new();
    while codes.last().is_none_or(|code| code != "CIRCUIT_OPEN") {
        let answer = get(&edge, "/api").await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
        codes.push(answer.code());
        assert!(codes.len() < 20, "{codes:?}");
    }
    assert!(codes.contains(&"SERVICE_UNAVAILABLE".to_owned()), "{codes:?}");
    assert_eq!(gateway.breakers()[0].state, State::Open);

    let _service = upstream_at(address, echo()).await;
    // Each request is one look at the breaker, until a probe finds the service.
    let recovered = async { while get(&edge, "/api").await.status != 200 {} };
    super::support::within(recovered).await;
    assert_eq!(gateway.breakers()[0].state, State::Closed);
}

#[tokio::test]
async fn answers_that_blame_the_service_open_its_breaker_and_no_other() {
    let broken = upstream(Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR)).await;
    let sound = upstream(Router::new().fallback(async || StatusCode::NOT_FOUND)).await;
    let gateway = Gateway::builder()
        .resolver(resolver(&[("broken", &[&broken]), ("sound", &[&sound])]))
        .route(Route::new("/broken").to("broken").public())
        .route(Route::new("/sound").to("sound").public())
        .breaker(sensitive())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    for status in [500, 500, 500, 503] {
        assert_eq!(get(&gateway, "/broken").await.status, status);
    }
    for _ in 0..10 {
        assert_eq!(get(&gateway, "/sound").await.status, 404);
    }
}

#[tokio::test]
async fn a_service_without_endpoints_is_unavailable_at_once() {
    let gateway =
        Gateway::builder().resolver(resolver(&[("gone", &[])])).route(Route::new("/api").to("gone").public()).build();
    let gateway = serve(gateway.unwrap()).await;
    for _ in 0..20 {
        let answer = get(&gateway, "/api").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_cannot_open_the_breaker_for_others() {
    // Gives up on bodies that are on their way, as a service does that finds them too slow.
    let impatient = |request: axum::extract::Request| async move {
        if request.method() == "POST" { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::OK }
    };
    let service = upstream(Router::new().fallback(impatient)).await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    for _ in 0..10 {
        let mut wire = Wire::open(&edge).await;
        wire.write("POST /api HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nhalf").await;
        assert_eq!(wire.answer().await.status, 504);
    }
    assert_eq!(gateway.breakers()[0].state, State::Closed);
    assert_eq!(get(&edge, "/api").await.status, 200);
}
