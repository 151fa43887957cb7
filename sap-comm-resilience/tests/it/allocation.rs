//! The success path allocates nothing.

use std::io;

use allocation_counter::measure;
use futures_util::FutureExt;
use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveThrottle, AllIdempotent, Bulkhead, CircuitBreaker, Pipeline, RateLimit, Retry, Timeout,
};
use tower::{Layer, Service, ServiceBuilder, service_fn};

use crate::support::SECOND;

fn allocations(mut call: impl FnMut()) -> u64 {
    // The first call may set up what belongs to the thread.
    call();
    measure(call).count_total
}

#[tokio::test]
async fn a_pipeline_allocates_nothing_on_success() {
    let pipeline = Pipeline::builder("test")
        .rate_limit(RateLimit::builder("test").build().unwrap())
        .bulkhead(Bulkhead::builder("test").build().unwrap())
        .retry(Retry::builder().build().unwrap())
        .breaker(CircuitBreaker::builder("test").build().unwrap())
        .timeout(SECOND)
        .build()
        .unwrap();
    let call = || assert!(pipeline.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_ok());
    assert_eq!(allocations(call), 0);
}

#[tokio::test]
async fn a_stack_of_layers_allocates_nothing_on_success() {
    let bulkhead = Bulkhead::builder("test").build().unwrap();
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let mut service = ServiceBuilder::new()
        .layer(bulkhead.layer())
        .layer(Retry::builder().build().unwrap().layer(AllIdempotent))
        .layer(breaker.layer())
        .layer(Timeout::new(SECOND).layer())
        .service(service_fn(|(): ()| std::future::ready(Ok::<_, io::Error>(()))));
    assert_eq!(allocations(|| assert!(service.call(()).now_or_never().unwrap().is_ok())), 0);
}

#[tokio::test]
async fn the_layer_of_a_pipeline_allocates_nothing_on_success() {
    let pipeline = Pipeline::builder("test")
        .bulkhead(Bulkhead::builder("test").build().unwrap())
        .retry(Retry::builder().build().unwrap())
        .breaker(CircuitBreaker::builder("test").build().unwrap())
        .throttle(AdaptiveThrottle::builder("test").build().unwrap())
        .concurrency(AdaptiveConcurrency::builder("test").build().unwrap())
        .timeout(SECOND)
        .build()
        .unwrap();
    let mut service =
        pipeline.layer(AllIdempotent).layer(service_fn(|(): ()| std::future::ready(Ok::<_, io::Error>(()))));
    assert_eq!(allocations(|| assert!(service.call(()).now_or_never().unwrap().is_ok())), 0);
}

#[tokio::test]
async fn a_rejection_allocates_nothing() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    breaker.isolate();
    let call = || assert!(breaker.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_err());
    assert_eq!(allocations(call), 0);
}

#[tokio::test]
async fn a_full_bulkhead_without_a_queue_allocates_nothing_to_refuse() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let _slot = bulkhead.acquire().await.unwrap();
    let mut service = bulkhead.layer().layer(service_fn(|(): ()| std::future::ready(Ok::<_, io::Error>(()))));
    assert_eq!(allocations(|| assert!(service.call(()).now_or_never().unwrap().is_err())), 0);
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap();
    let call = || assert!(pipeline.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_err());
    assert_eq!(allocations(call), 0);
}
