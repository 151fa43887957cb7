//! Panics of other people's code: counted, contained, and nothing leaks.

use std::{
    future::pending,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::FutureExt;
use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveThrottle, AllIdempotent, Bulkhead, CircuitBreaker, Classify, Fallback, Hedge, Outcome,
    Pipeline, Retry, State, TripPolicy,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{down, hasty, open_and_wait, succeed};

/// Trap 19.
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_call_counts_as_a_failure() {
    let breaker = hasty().build().unwrap();
    let call = breaker.call(async || -> Result<(), io::Error> { panic!("a bug in the call") });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!(breaker.state(), State::Open);
}

/// Trap 19.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_probe_leaks_no_slot() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    let call = breaker.call(async || -> Result<(), io::Error> { panic!("a bug in the call") });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!((breaker.state(), breaker.snapshot().probes), (State::Open, 0));
    tokio::time::advance(std::time::Duration::from_secs(30)).await;
    assert!(succeed(&breaker).await);
}

fn panic_with<T>(_held: T) {
    panic!("a bug");
}

/// Trap 19: a permit handled by hand counts a panic too.
#[test]
fn a_permit_dropped_by_a_panic_counts_as_a_failure() {
    for owned in [false, true] {
        let breaker = hasty().build().unwrap();
        let call = || match owned {
            true => panic_with(breaker.try_acquire_owned().unwrap()),
            false => panic_with(breaker.try_acquire().unwrap()),
        };
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert_eq!(breaker.state(), State::Open);
    }
}

/// Trap 19: somebody else's panic fails no call that was only waiting.
#[tokio::test(start_paused = true)]
async fn a_waiting_call_dropped_by_the_panic_of_another_counts_for_nothing() {
    let breaker = hasty().build().unwrap();
    let mut service = breaker.layer().layer(service_fn(|(): ()| pending::<Result<(), io::Error>>()));
    let mut call = Box::pin(breaker.call(async || pending::<Result<(), io::Error>>().await));
    let mut request = Box::pin(service.call(()));
    assert!(call.as_mut().now_or_never().is_none() && request.as_mut().now_or_never().is_none());
    let unsent = service.call(());
    assert!(catch_unwind(AssertUnwindSafe(|| panic_with((call, request, unsent)))).is_err());
    assert_eq!((breaker.state(), breaker.snapshot().failed), (State::Closed, 0));
}

/// Trap 19.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_bulkhead_leaks_no_slot() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let call = bulkhead.call(async || -> Result<(), io::Error> { panic!("a bug in the call") });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!(bulkhead.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_makes_a_failure() {
    let breaker = hasty().build().unwrap();
    let judge = |_: &Result<u32, io::Error>| -> Outcome { panic!("a bug in a classifier") };
    assert_eq!(breaker.call_with(&judge, async || Ok(42)).await.unwrap(), 42);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_retry_listener_that_panics_is_contained() {
    let retry = Retry::builder().max_retries(1).on_retry(|_| panic!("a bug in a listener")).build().unwrap();
    assert!(retry.call(async || Err::<(), _>(down())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_error_rule_that_panics_says_nothing() {
    let retry = Retry::builder().max_retries(1).retry_if(|_: &io::Error| panic!("a bug in a rule")).build().unwrap();
    let calls = std::cell::Cell::new(0);
    let _ = retry
        .call(async || {
            calls.set(calls.get() + 1);
            Err::<(), _>(down())
        })
        .await;
    assert_eq!(calls.get(), 2);
    let ignored = |_: &Result<(), io::Error>| Outcome::Ignored;
    let _ = retry
        .call_with(&ignored, async || {
            calls.set(calls.get() + 1);
            Err::<(), _>(down())
        })
        .await;
    assert_eq!(calls.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_trip_policy_that_panics_opens_nothing() {
    struct Broken;
    impl TripPolicy for Broken {
        fn succeeded(&mut self) {
            panic!("a bug in a policy");
        }
        fn failed(&mut self) -> Option<std::time::Duration> {
            panic!("a bug in a policy");
        }
        fn revived(&mut self) {}
    }
    let breaker = CircuitBreaker::builder("test").trip_policy(Broken).build().unwrap();
    breaker.try_acquire().unwrap().success();
    breaker.try_acquire().unwrap().failure();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.succeeded, snapshot.failed), (State::Closed, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_pipeline_counts_as_a_failure_and_leaks_no_slot() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let limit = AdaptiveConcurrency::builder("test").build().unwrap();
    let build = |breaker| {
        let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).retry(Retry::builder().build().unwrap());
        pipeline.breaker(breaker).concurrency(limit.clone()).build().unwrap()
    };
    let pipeline = build(hasty().build().unwrap());
    let call = pipeline.call(|| -> std::future::Ready<io::Result<()>> { panic!("a bug before the first await") });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!((pipeline.breaker().unwrap().state(), bulkhead.available()), (State::Open, 1));

    let pipeline = build(hasty().build().unwrap());
    let service = service_fn(async |(): ()| -> io::Result<()> { panic!("a bug in the service") });
    let call = pipeline.layer(AllIdempotent).layer(service).call(());
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!((pipeline.breaker().unwrap().state(), bulkhead.available()), (State::Open, 1));
    assert_eq!(limit.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rule_about_overload_that_panics_cuts_nothing() {
    let limit = AdaptiveConcurrency::builder("test").overload_if(|_: &io::Error| panic!("a bug in a rule"));
    let limit = limit.build().unwrap();
    assert!(limit.call(async || Err::<(), _>(down())).await.is_err());
    assert_eq!((limit.limit(), limit.snapshot().in_flight), (20, 0));
}

#[derive(Clone)]
struct BrokenClassifier;

impl<T, E> Classify<T, E> for BrokenClassifier {
    fn classify(&self, _: &Result<T, E>) -> Outcome {
        panic!("a bug in a classifier");
    }
}

#[tokio::test(start_paused = true)]
async fn a_classifier_of_any_type_that_panics_makes_a_failure() {
    let ok = async || Ok::<_, io::Error>(42);
    let service = || service_fn(async |(): ()| Ok::<_, io::Error>(42));
    let breaker = hasty().build().unwrap();
    assert_eq!(breaker.call_with(&BrokenClassifier, ok).await.unwrap(), 42);
    assert_eq!(breaker.state(), State::Open);
    breaker.close();
    assert_eq!(breaker.layer().classify(BrokenClassifier).layer(service()).oneshot(()).await.unwrap(), 42);
    assert_eq!(breaker.state(), State::Open);

    let retry = Retry::builder().max_retries(1).build().unwrap();
    assert_eq!(retry.call_with(&BrokenClassifier, ok).await.unwrap(), 42);
    let layer = retry.layer(AllIdempotent).classify(BrokenClassifier);
    assert_eq!(layer.layer(service()).oneshot(()).await.unwrap(), 42);
    assert_eq!(Hedge::builder().build().unwrap().call_with(BrokenClassifier, ok).await.unwrap(), 42);
    let fallback = Fallback::for_results(async |_: io::Result<u32>| Ok(1));
    assert_eq!(fallback.call_with(&BrokenClassifier, ok).await.unwrap(), 1);
    let throttle = AdaptiveThrottle::builder("test").build().unwrap();
    assert_eq!(throttle.call_with(&BrokenClassifier, ok).await.unwrap(), 42);
    let limit = AdaptiveConcurrency::builder("test").build().unwrap();
    assert_eq!(limit.call_with(&BrokenClassifier, ok).await.unwrap(), 42);
    assert_eq!(limit.snapshot().in_flight, 0);

    let pipeline = Pipeline::builder("test").retry(retry).breaker(hasty().build().unwrap()).build().unwrap();
    assert!(pipeline.call_with(&BrokenClassifier, ok).await.is_err(), "the breaker is open for the second attempt");
    assert_eq!(pipeline.breaker().unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_asked_for_its_source_is_a_failure() {
    #[derive(Debug)]
    struct Hostile;
    impl std::fmt::Display for Hostile {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("a bug in an error");
        }
    }
    impl std::error::Error for Hostile {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            panic!("a bug in an error");
        }
    }
    let breaker = hasty().build().unwrap();
    assert!(breaker.call(async || Err::<(), _>(io::Error::other(Hostile))).await.is_err());
    assert_eq!(breaker.state(), State::Open);
    let limit = AdaptiveConcurrency::builder("test").build().unwrap();
    assert!(limit.call(async || Err::<(), _>(io::Error::other(Hostile))).await.is_err());
    assert_eq!(limit.snapshot().in_flight, 0);
}

/// Whatever the caller's code is that panics, the call counts and every slot comes back.
#[tokio::test(start_paused = true)]
async fn a_hedge_and_a_fallback_that_panic_leak_no_slot() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let hedge = Hedge::builder().budget(1.0).build().unwrap();
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).breaker(hasty().build().unwrap()).hedge(hedge);
    let pipeline = pipeline.build().unwrap();
    let calls = std::cell::Cell::new(0);
    let call = pipeline.call(|| {
        assert_eq!(calls.replace(calls.get() + 1), 0, "a bug in the second call");
        pending::<io::Result<()>>()
    });
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!((pipeline.breaker().unwrap().state(), bulkhead.available()), (State::Open, 1));

    let broken = Fallback::new(|_| -> std::future::Ready<Result<(), _>> { panic!("a bug in a fallback") });
    let pipeline = Pipeline::builder("test").fallback(broken).bulkhead(bulkhead.clone());
    let pipeline = pipeline.breaker(hasty().build().unwrap()).build().unwrap();
    let call = pipeline.call(async || Err(down()));
    assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
    assert_eq!((pipeline.breaker().unwrap().state(), bulkhead.available()), (State::Open, 1));
}
