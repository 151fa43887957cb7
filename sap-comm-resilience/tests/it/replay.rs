//! Which HTTP requests are sent again.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use sap_comm_resilience::{HttpReplay, HttpStatus, Retry};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

async fn attempts(request: Request<Full<Bytes>>) -> u32 {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let retry = Retry::builder().max_retries(2).build().unwrap();
    let mut service = ServiceBuilder::new().layer(retry.layer(HttpReplay::new(1_024)).classify(HttpStatus)).service(
        service_fn(move |_: Request<Full<Bytes>>| {
            count.fetch_add(1, Ordering::SeqCst);
            async {
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                Ok::<_, Infallible>(response)
            }
        }),
    );
    let response = service.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    calls.load(Ordering::SeqCst)
}

fn request(method: Method, size: usize) -> Request<Full<Bytes>> {
    Request::builder().method(method).body(Full::new(Bytes::from(vec![0; size]))).unwrap()
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn an_idempotent_request_with_a_small_body_is() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
        assert_eq!(attempts(request(method, 1_024)).await, 3);
    }
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn a_request_that_changes_something_each_time_is_not() {
    assert_eq!(attempts(request(Method::POST, 0)).await, 1);
    assert_eq!(attempts(request(Method::PATCH, 0)).await, 1);
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn one_with_an_idempotency_key_is() {
    let mut request = request(Method::POST, 10);
    request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
    assert_eq!(attempts(request).await, 3);
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn a_large_body_is_not() {
    assert_eq!(attempts(request(Method::PUT, 1_025)).await, 1);
}
