//! Tower's contract, for every layer.

use std::{
    future::{Future, pending, ready},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::FutureExt;
use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveThrottle, AllIdempotent, Bulkhead, CircuitBreaker, Deadline, Fallback, Hedge,
    Pipeline, RateLimit, Retry, Timeout,
};
use tower::{Layer, Service, ServiceExt};

use crate::support::{SECOND, hasty};

/// Panics when it is called without having been polled ready, and counts reservations.
struct Strict {
    reserved: bool,
    held: Arc<AtomicUsize>,
    calls: Arc<AtomicU32>,
    answer: fn(u32) -> Result<u32, io::Error>,
}

impl Strict {
    fn new(answer: fn(u32) -> Result<u32, io::Error>) -> Self {
        Self { reserved: false, held: Arc::default(), calls: Arc::default(), answer }
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { reserved: false, held: Arc::clone(&self.held), calls: Arc::clone(&self.calls), answer: self.answer }
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if self.reserved {
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Service<u32> for Strict {
    type Response = u32;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<u32, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        if !self.reserved {
            self.reserved = true;
            self.held.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(self.reserved, "called without having been polled ready");
        self.reserved = false;
        self.held.fetch_sub(1, Ordering::SeqCst);
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(ready((self.answer)(call)))
    }
}

/// Every layer must pass this: readiness twice and a drop, an idle clone, a call, and nothing held afterwards.
async fn keeps_the_contract<L>(layer: L)
where
    L: Layer<Strict>,
    L::Service: Service<u32, Response = u32> + Clone,
    <L::Service as Service<u32>>::Error: std::fmt::Debug,
{
    let inner = Strict::new(Ok);
    let held = Arc::clone(&inner.held);
    let mut service = layer.layer(inner);
    service.ready().await.unwrap();
    service.ready().await.unwrap();
    let mut idle = service.clone();
    idle.ready().await.unwrap();
    assert_eq!(held.load(Ordering::SeqCst), 0, "an idle ready service holds a reservation");
    drop(service.clone().ready().await.unwrap().call(0));
    assert_eq!(service.ready().await.unwrap().call(0).await.unwrap(), 0);
    assert_eq!(idle.call(0).await.unwrap(), 1);
    assert_eq!(held.load(Ordering::SeqCst), 0, "a reservation is left over");
}

/// Trap 20.
#[tokio::test(start_paused = true)]
async fn every_layer_keeps_the_contract() {
    keeps_the_contract(CircuitBreaker::builder("test").build().unwrap().layer()).await;
    keeps_the_contract(Retry::builder().build().unwrap().layer(AllIdempotent)).await;
    keeps_the_contract(Timeout::new(SECOND).layer()).await;
    keeps_the_contract(Deadline::after(SECOND).layer()).await;
    keeps_the_contract(Bulkhead::builder("test").max_concurrent(1).build().unwrap().layer()).await;
    keeps_the_contract(RateLimit::builder("test").build().unwrap().layer()).await;
    keeps_the_contract(AdaptiveConcurrency::builder("test").build().unwrap().layer()).await;
    keeps_the_contract(AdaptiveThrottle::builder("test").build().unwrap().layer()).await;
    keeps_the_contract(Hedge::builder().build().unwrap().layer(AllIdempotent)).await;
    let pipeline = Pipeline::builder("test")
        .deadline(10 * SECOND)
        .bulkhead(Bulkhead::builder("test").max_concurrent(1).build().unwrap())
        .retry(Retry::builder().build().unwrap())
        .concurrency(AdaptiveConcurrency::builder("test").build().unwrap())
        .timeout(SECOND)
        .build()
        .unwrap();
    keeps_the_contract(pipeline.layer(AllIdempotent)).await;
    keeps_the_contract(Fallback::new(|error: io::Error| ready(Err(error))).layer()).await;
}

/// Trap 20.
#[tokio::test(start_paused = true)]
async fn no_reservation_is_held_across_a_back_off() {
    let inner = Strict::new(|call| if call < 2 { Err(io::Error::other("down")) } else { Ok(call) });
    let held = Arc::clone(&inner.held);
    let retry = Retry::builder().min_delay(SECOND).build().unwrap();
    let mut service = retry.layer(AllIdempotent).layer(inner);
    let mut call = Box::pin(service.ready().await.unwrap().call(0));
    assert!(call.as_mut().now_or_never().is_none(), "it waits for its first retry");
    assert_eq!(held.load(Ordering::SeqCst), 0);
    assert_eq!(call.await.unwrap(), 2);
}

/// Trap 21.
#[tokio::test(start_paused = true)]
async fn an_idle_ready_clone_holds_no_bulkhead_slot() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let service = bulkhead.layer().layer(Strict::new(Ok));
    let mut clones: Vec<_> = (0..10).map(|_| service.clone()).collect();
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    assert_eq!(bulkhead.available(), 1);
    assert!(clones[0].call(0).await.is_ok());
}

/// Never ready.
#[derive(Clone)]
struct Stuck;

impl Service<u32> for Stuck {
    type Response = u32;
    type Error = io::Error;
    type Future = std::future::Pending<Result<u32, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Pending
    }

    fn call(&mut self, _: u32) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_bounds_the_wait_for_readiness() {
    let started = tokio::time::Instant::now();
    assert!(Timeout::new(SECOND).layer().layer(Stuck).oneshot(0).await.is_err());
    assert_eq!(started.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_rejects_though_the_service_is_not_ready() {
    let breaker = hasty().build().unwrap();
    breaker.isolate();
    let rejected = breaker.layer().layer(Stuck).oneshot(0).now_or_never().expect("it rejects at once");
    assert!(rejected.unwrap_err().rejected().is_some());
}

#[tokio::test(start_paused = true)]
async fn layers_stack() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let service = tower::ServiceBuilder::new()
        .layer(Deadline::after(10 * SECOND).layer())
        .layer(Retry::builder().build().unwrap().layer(AllIdempotent))
        .layer(breaker.layer())
        .layer(Timeout::new(SECOND).layer())
        .service(Strict::new(|call| if call < 2 { Err(io::Error::other("down")) } else { Ok(call) }));
    let answer = tokio::spawn(service.oneshot(0)).await.unwrap();
    assert_eq!(answer.unwrap(), 2);
    assert_eq!((breaker.snapshot().failed, breaker.snapshot().succeeded), (2, 1));
}
