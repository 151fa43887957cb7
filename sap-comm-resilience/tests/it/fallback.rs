//! When another answer is given.

use std::{future::ready, io};

use http::{Response, StatusCode};
use sap_comm_resilience::{BreakerError, Fallback, HttpStatus, Outcome};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{down, hasty};

#[tokio::test]
async fn a_failure_gets_another_answer_and_a_success_does_not() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    assert_eq!(fallback.call(async || Ok(1)).await.unwrap(), 1);
    assert_eq!(fallback.call(async || Err(down())).await.unwrap(), 2);
}

#[tokio::test]
async fn a_rejection_gets_another_answer() {
    let breaker = hasty().build().unwrap();
    breaker.isolate();
    let fallback = Fallback::new(|_: BreakerError<io::Error>| ready(Ok(2)));
    assert_eq!(fallback.call(async || breaker.call(async || Ok(1)).await).await.unwrap(), 2);
}

#[tokio::test]
async fn the_callers_own_mistake_stands() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    let mistake = |_: &Result<u32, io::Error>| Outcome::Ignored;
    assert!(fallback.call_with(&mistake, async || Err(down())).await.is_err());
}

#[tokio::test]
async fn the_layer_answers_too() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(2)));
    let service = fallback.layer().layer(service_fn(|_: ()| ready(Err::<u32, _>(down()))));
    assert_eq!(service.oneshot(()).await.unwrap(), 2);
}

fn response(status: StatusCode) -> Result<Response<&'static str>, io::Error> {
    Ok(Response::builder().status(status).body("from the service").unwrap())
}

async fn body(status: StatusCode) -> &'static str {
    let cached = |failed: Result<Response<_>, io::Error>| {
        assert_eq!(failed.unwrap().status(), StatusCode::BAD_GATEWAY);
        ready(Ok(Response::new("from the cache")))
    };
    let fallback = Fallback::for_results(cached);
    let called = fallback.call_with(&HttpStatus, async || response(status)).await.unwrap().into_body();
    let service = fallback.layer().classify(HttpStatus).layer(service_fn(|status| ready(response(status))));
    assert_eq!(service.oneshot(status).await.unwrap().into_body(), called);
    called
}

#[tokio::test]
async fn a_response_that_is_a_failure_gets_another_answer() {
    assert_eq!(body(StatusCode::BAD_GATEWAY).await, "from the cache");
    assert_eq!(body(StatusCode::OK).await, "from the service");
    assert_eq!(body(StatusCode::NOT_FOUND).await, "from the service");
}

#[tokio::test]
async fn a_fallback_for_errors_leaves_a_failed_response_as_it_is() {
    let fallback = Fallback::new(|_: io::Error| ready(Ok(Response::new("from the cache"))));
    let answer = fallback.call_with(&HttpStatus, async || response(StatusCode::BAD_GATEWAY)).await;
    assert_eq!(answer.unwrap().into_body(), "from the service");
}
