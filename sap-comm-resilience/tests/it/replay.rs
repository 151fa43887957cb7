//! Which HTTP requests are sent again.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use sap_comm_resilience::{HttpReplay, HttpStatus, Pipeline, PipelineError, Retry, RetryBuilder};
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

fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// How often a request of this method is sent that fails like this: by a retry, and by a pipeline.
async fn sent(retry: RetryBuilder, method: Method, kind: io::ErrorKind) -> [u32; 2] {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Err::<Response<()>, _>(io::Error::from(kind)) }
    });
    let retry = retry.max_retries(2).build().unwrap();
    let layer = ServiceBuilder::new().layer(retry.http_layer()).service(service.clone());
    assert_eq!(layer.oneshot(request(method.clone(), 10)).await.unwrap_err().kind(), kind);
    let by_retry = calls.swap(0, Ordering::SeqCst);
    let pipeline = Pipeline::builder("test").retry(retry).timeout(std::time::Duration::from_secs(1)).build().unwrap();
    let layer = ServiceBuilder::new().layer(pipeline.http_layer()).service(service);
    let error = layer.oneshot(request(method, 10)).await.unwrap_err();
    assert!(matches!(error, PipelineError::Inner(error) if error.kind() == kind));
    [by_retry, calls.load(Ordering::SeqCst)]
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn one_that_certainly_never_left_is() {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused};

    let knowing = || Retry::builder().never_sent(refused);
    assert_eq!(sent(knowing(), Method::POST, ConnectionRefused).await, [3, 3]);
    assert_eq!(sent(knowing(), Method::POST, BrokenPipe).await, [1, 1]);
    assert_eq!(sent(knowing(), Method::GET, BrokenPipe).await, [3, 3]);
    assert_eq!(sent(Retry::builder(), Method::POST, ConnectionRefused).await, [1, 1]);
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn a_rule_about_what_was_sent_that_panics_says_nothing() {
    let broken = Retry::builder().never_sent(|_: &io::Error| panic!("a bug in a rule"));
    assert_eq!(sent(broken, Method::POST, io::ErrorKind::ConnectionRefused).await, [1, 1]);
}
