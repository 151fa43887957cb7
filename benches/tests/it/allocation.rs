//! What `compare-breaker` times allocates nothing on our side.

use std::io;

use allocation_counter::measure;
use futures_util::FutureExt;
use sap_comm::resilience::{AllIdempotent, Bulkhead, CircuitBreaker, Retry, Timeout};
use tower::{Service, ServiceBuilder, service_fn};

fn allocations(mut call: impl FnMut()) -> u64 {
    // The first call may set up what belongs to the thread.
    call();
    measure(call).count_total
}

#[tokio::test]
async fn a_call_through_a_closed_or_open_breaker_allocates_nothing() {
    let breaker = CircuitBreaker::builder("test").consecutive_failures(1).build().unwrap();
    let succeed = || assert!(breaker.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_ok());
    assert_eq!(allocations(succeed), 0);
    assert!(breaker.call(async || Err::<(), _>(io::Error::other("down"))).await.is_err());
    let rejected = || assert!(breaker.call(async || Ok::<_, io::Error>(())).now_or_never().unwrap().is_err());
    assert_eq!(allocations(rejected), 0);
}

#[tokio::test]
async fn a_call_through_the_stack_allocates_nothing() {
    let mut service = ServiceBuilder::new()
        .layer(Bulkhead::builder("test").build().unwrap().layer())
        .layer(Retry::builder().build().unwrap().layer(AllIdempotent))
        .layer(CircuitBreaker::builder("test").build().unwrap().layer())
        .layer(Timeout::new(std::time::Duration::from_secs(3)).layer())
        .service(service_fn(|(): ()| async { Ok::<_, io::Error>(()) }));
    assert_eq!(allocations(|| assert!(service.call(()).now_or_never().unwrap().is_ok())), 0);
}
