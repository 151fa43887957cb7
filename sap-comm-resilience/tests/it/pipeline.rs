//! The order of a pipeline, and what it reports.

use std::{
    future::ready,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use sap_comm_core::Context;
use sap_comm_resilience::{
    AdaptiveConcurrency, AdaptiveThrottle, AllIdempotent, Bound, Bulkhead, CircuitBreaker, Deadline, Fallback, Hedge,
    HttpStatus, Jitter, Lint, Outcome, Pipeline, PipelineError, RateLimit, Retry, State,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{SECOND, down, hasty};

fn retry() -> Retry {
    Retry::builder().max_retries(3).min_delay(SECOND).jitter(Jitter::None).build().unwrap()
}

fn throttle() -> AdaptiveThrottle {
    AdaptiveThrottle::builder("test").seed(1).max_rejection_rate(1.0).build().unwrap()
}

fn limit() -> AdaptiveConcurrency {
    AdaptiveConcurrency::builder("test").initial_limit(10).min_limit(1).build().unwrap()
}

fn hedge() -> Hedge {
    Hedge::builder().delay(SECOND).budget(1.0).build().unwrap()
}

fn bulkhead() -> Bulkhead {
    Bulkhead::builder("test").max_concurrent(1).build().unwrap()
}

#[test]
fn strategies_out_of_order_are_refused_by_name() {
    let breaker = || CircuitBreaker::builder("test").build().unwrap();
    let build = |builder: sap_comm_resilience::PipelineBuilder| builder.build().unwrap_err();
    let error = build(Pipeline::builder("test").retry(retry()).bulkhead(bulkhead()));
    assert_eq!((error.field(), error.value()), ("bulkhead", Some("below retry")));
    assert_eq!(build(Pipeline::builder("test").timeout(SECOND).breaker(breaker())).field(), "breaker");
    assert_eq!(build(Pipeline::builder("test").retry(retry()).deadline(SECOND)).field(), "deadline");
    assert_eq!(build(Pipeline::builder("test").timeout(SECOND).timeout(SECOND)).field(), "timeout");
    assert_eq!(build(Pipeline::builder("test").throttle(throttle()).retry(retry())).field(), "retry");
    assert_eq!(build(Pipeline::builder("test").concurrency(limit()).breaker(breaker())).field(), "breaker");
    assert_eq!(build(Pipeline::builder("test").timeout(SECOND).concurrency(limit())).field(), "concurrency");
    assert_eq!(
        build(Pipeline::builder("test").retry(retry()).timeout(SECOND).throttle(throttle())).field(),
        "throttle"
    );
    assert!(Pipeline::builder("test").timeout(SECOND).retry(retry()).concurrency(limit()).build().is_ok());
    assert_eq!(build(Pipeline::builder("test").concurrency(limit()).throttle(throttle())).field(), "throttle");
    assert_eq!(build(Pipeline::builder("test").hedge(hedge()).timeout(SECOND)).field(), "timeout");
    assert_eq!(build(Pipeline::builder("test").hedge(hedge()).hedge(hedge())).field(), "hedge");
    let fallback = Pipeline::builder("test")
        .deadline(SECOND)
        .fallback(Fallback::new(|error: io::Error| ready(Err::<(), _>(error))));
    assert_eq!(fallback.build().unwrap_err().field(), "fallback");
    assert_eq!(build(Pipeline::builder("test").timeout(Duration::ZERO)).field(), "timeout");
    assert_eq!(build(Pipeline::builder("test").deadline(Duration::MAX)).field(), "deadline");
}

#[tokio::test(start_paused = true)]
async fn every_strategy_refuses_in_its_own_words() {
    let op = async || Ok::<_, io::Error>(());
    let rate = RateLimit::builder("test").per_second(1).build().unwrap();
    rate.check().unwrap();
    let limited = Pipeline::builder("test").rate_limit(rate).build().unwrap().call(op).await.unwrap_err();
    assert!(matches!(limited, PipelineError::Limited(_)) && limited.retry_after() == Some(SECOND));

    let bulkhead = bulkhead();
    let _slot = bulkhead.acquire().await.unwrap();
    let full = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap().call(op).await.unwrap_err();
    assert!(matches!(full, PipelineError::Full(_)) && full.is_rejection());

    let limit = limit();
    let _all: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    let saturated = Pipeline::builder("test").concurrency(limit.clone()).build().unwrap();
    let saturated = saturated.call(op).await.unwrap_err();
    assert!(matches!(saturated, PipelineError::Saturated(_)) && saturated.is_rejection());

    let throttle = throttle();
    let permits: Vec<_> = (0..100_000).map(|_| throttle.try_acquire().unwrap()).collect();
    permits.into_iter().for_each(sap_comm_resilience::ThrottlePermit::refused);
    let throttled = Pipeline::builder("test").throttle(throttle).build().unwrap().call(op).await.unwrap_err();
    assert!(matches!(throttled, PipelineError::Throttled(_)) && throttled.is_rejection());

    let late = Pipeline::builder("test").deadline(SECOND).build().unwrap();
    let late = late.call(async || std::future::pending::<Result<(), io::Error>>().await).await.unwrap_err();
    assert!(matches!(late, PipelineError::DeadlineExceeded(_)) && !late.is_rejection());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_below_the_retry_stops_it() {
    let pipeline = Pipeline::builder("test")
        .retry(retry())
        .breaker(hasty().consecutive_failures(2).build().unwrap())
        .timeout(SECOND)
        .build()
        .unwrap();
    let result = pipeline.call(async || Err::<(), _>(down())).await;
    assert!(matches!(result, Err(PipelineError::Open(_))), "{result:?}");
    assert_eq!(pipeline.breaker().unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_the_retry_is_retried_and_counted_for_each_attempt() {
    let breaker = CircuitBreaker::builder("test").sampling_window(60 * SECOND).build().unwrap();
    let pipeline = Pipeline::builder("test").retry(retry()).breaker(breaker).timeout(SECOND).build().unwrap();
    let result = pipeline.call(async || std::future::pending::<Result<(), io::Error>>().await).await;
    assert!(matches!(result, Err(PipelineError::TimedOut(_))));
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 4);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_sees_its_own_results_only() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let pipeline = Pipeline::builder("test").retry(retry()).breaker(breaker).timeout(SECOND).build().unwrap();
    let response = pipeline
        .call_with(&HttpStatus, async || {
            let mut response = http::Response::new(());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, io::Error>(response)
        })
        .await;
    assert_eq!(response.unwrap().status(), 500);
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 4);
}

#[test]
fn a_schedule_that_does_not_fit_its_deadline_is_reported() {
    let pipeline = Pipeline::builder("test").deadline(2 * SECOND).retry(retry()).build().unwrap();
    let expected = Lint::ScheduleExceeds { bound: Bound::Deadline, limit: 2 * SECOND, attempts: 4, reachable: 2 };
    assert_eq!(pipeline.lints(), [expected]);
    let json = serde_json::to_value(pipeline.lints()).unwrap();
    assert_eq!(json[0]["schedule-exceeds"]["limit"], "2s");
    assert!(Pipeline::builder("test").deadline(8 * SECOND).retry(retry()).build().unwrap().lints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_behind() {
    let bulkhead = bulkhead();
    let breaker = hasty().build().unwrap();
    let pipeline =
        Pipeline::builder("test").bulkhead(bulkhead.clone()).breaker(breaker).timeout(SECOND).build().unwrap();
    let call = pipeline.call(async || std::future::pending::<Result<(), io::Error>>().await);
    assert!(call.now_or_never().is_none());
    assert_eq!(bulkhead.available(), 1);
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 0);
}

#[tokio::test]
async fn nested_strategies_run_in_a_spawned_task() {
    let (breaker, retry) = (CircuitBreaker::builder("test").build().unwrap(), retry());
    let url = String::from("http://users");
    let task = tokio::spawn(async move {
        let client = &url;
        let call = breaker.call(async || {
            retry
                .call(async || {
                    tokio::task::yield_now().await;
                    Ok::<_, io::Error>(client.len())
                })
                .await
        });
        call.await
    });
    assert_eq!(task.await.unwrap().unwrap(), 12);
}

#[tokio::test(start_paused = true)]
async fn throttle_and_limit_learn_from_every_attempt() {
    let (throttle, limit) = (throttle(), limit());
    let pipeline = Pipeline::builder("test")
        .retry(retry())
        .throttle(throttle.clone())
        .concurrency(limit.clone())
        .timeout(SECOND)
        .build()
        .unwrap();
    let result = pipeline.call(async || std::future::pending::<Result<(), io::Error>>().await).await;
    assert!(matches!(result, Err(PipelineError::TimedOut(_))));
    assert_eq!((throttle.snapshot().requests, throttle.snapshot().accepts), (4, 0));
    assert_eq!((limit.limit(), limit.snapshot().in_flight), (2, 0), "four timeouts cut ten by 0.7 each");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_by_throttle_or_limit_is_not_retried_nor_counted() {
    let limit = limit();
    let all: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    let pipeline = Pipeline::builder("test")
        .retry(retry())
        .breaker(hasty().build().unwrap())
        .throttle(throttle())
        .concurrency(limit.clone())
        .build()
        .unwrap();
    let started = tokio::time::Instant::now();
    assert!(matches!(pipeline.call(async || Ok::<_, io::Error>(())).await, Err(PipelineError::Saturated(_))));
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(all);
    assert!(pipeline.call(async || Ok::<_, io::Error>(())).await.is_ok());
    assert_eq!(pipeline.breaker().unwrap().snapshot().failed, 0);
}

/// What attempts found in their context: when the call must be over, and which attempt it is.
type Found = Vec<(Option<tokio::time::Instant>, u32)>;

#[tokio::test(start_paused = true)]
async fn the_layer_runs_a_request_through_the_same_strategies() {
    let bulkhead = bulkhead();
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let pipeline = Pipeline::builder("test")
        .deadline(10 * SECOND)
        .bulkhead(bulkhead.clone())
        .retry(retry())
        .breaker(breaker)
        .throttle(throttle())
        .concurrency(limit())
        .timeout(SECOND)
        .build()
        .unwrap();
    let found = Arc::new(Mutex::new(Found::new()));
    let log = Arc::clone(&found);
    let service = pipeline.layer(AllIdempotent).layer(service_fn(move |number: u32| {
        let mut found = log.lock().unwrap();
        found.push((Deadline::current(), Context::current().attempt()));
        let last = found.len() == 3;
        ready(if last { Ok(number) } else { Err(down()) })
    }));
    let deadline = Some(tokio::time::Instant::now() + 10 * SECOND);
    let call = Context::root().scope(service.clone().oneshot(42));
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 42);
    assert_eq!(*found.lock().unwrap(), [(deadline, 1), (deadline, 2), (deadline, 3)]);
    let snapshot = pipeline.breaker().unwrap().snapshot();
    assert_eq!((snapshot.failed, snapshot.succeeded, bulkhead.available()), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_leaves_nothing_behind() {
    let (bulkhead, limit) = (bulkhead(), limit());
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).concurrency(limit.clone());
    let pipeline = pipeline.timeout(SECOND).build().unwrap();
    let mut service =
        pipeline.layer(AllIdempotent).layer(service_fn(|(): ()| std::future::pending::<Result<(), io::Error>>()));
    let mut call = Box::pin(service.call(()));
    assert!(call.as_mut().now_or_never().is_none());
    assert_eq!((bulkhead.available(), limit.snapshot().in_flight), (0, 1));
    drop(call);
    assert_eq!((bulkhead.available(), limit.snapshot().in_flight, limit.limit()), (1, 0, 10));
}

#[tokio::test(start_paused = true)]
async fn the_http_layer_judges_by_status_and_retries_what_may_be_sent_twice() {
    let breaker = CircuitBreaker::builder("test").sampling_window(60 * SECOND).build().unwrap();
    let pipeline = Pipeline::builder("test").retry(retry()).breaker(breaker).build().unwrap();
    let service = pipeline.http_layer().layer(service_fn(|_: http::Request<String>| {
        let response = http::Response::builder().status(502).body(()).unwrap();
        ready(Ok::<_, io::Error>(response))
    }));
    for (method, calls) in [(http::Method::GET, 4), (http::Method::POST, 5)] {
        let request = http::Request::builder().method(method).body(String::new()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 502);
        assert_eq!(pipeline.breaker().unwrap().snapshot().failed, calls);
    }
}

#[tokio::test]
async fn a_call_is_hardly_larger_than_its_attempt() {
    let pipeline = Pipeline::builder("test").build().unwrap();
    let attempt = async || {
        let large = [1_u8; 10_000];
        tokio::task::yield_now().await;
        Ok::<_, io::Error>(large.len())
    };
    let size = size_of_val(&pipeline.call(attempt));
    assert!(size < 12_500, "{size}");
}

#[tokio::test(start_paused = true)]
async fn a_hedged_attempt_is_one_attempt_and_its_copies_carry_on_the_count() {
    let breaker = CircuitBreaker::builder("test").sampling_window(60 * SECOND).build().unwrap();
    let pipeline = Pipeline::builder("test").retry(retry()).breaker(breaker).timeout(10 * SECOND).hedge(hedge());
    let pipeline = pipeline.build().unwrap();
    let seen = std::cell::RefCell::new(Vec::new());
    let started = tokio::time::Instant::now();
    let result = pipeline
        .call(async || {
            let number = Context::current().attempt();
            seen.borrow_mut().push(number);
            tokio::time::sleep(if number == 3 { 60 } else { 3 } * SECOND).await;
            if number < 4 { Err(down()) } else { Ok(number) }
        })
        .await;
    assert_eq!((result.unwrap(), seen.into_inner()), (4, vec![1, 2, 3, 4]));
    // The first attempt failed after 4 s, with its copy; then a rest of 1 s, and a copy that took 3 s.
    assert_eq!(started.elapsed(), 9 * SECOND);
    let snapshot = pipeline.breaker().unwrap().snapshot();
    assert_eq!((snapshot.failed, snapshot.succeeded), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_an_attempt_with_its_copies() {
    let pipeline = Pipeline::builder("test").breaker(hasty().build().unwrap()).timeout(3 * SECOND).hedge(hedge());
    let pipeline = pipeline.build().unwrap();
    let calls = std::rc::Rc::new(());
    let result = pipeline
        .call(async || {
            let _alive = std::rc::Rc::clone(&calls);
            std::future::pending::<Result<(), io::Error>>().await
        })
        .await;
    assert!(matches!(result, Err(PipelineError::TimedOut(_))));
    assert_eq!((std::rc::Rc::strong_count(&calls), pipeline.breaker().unwrap().snapshot().state), (1, State::Open));
}

#[tokio::test(start_paused = true)]
async fn the_layer_hedges_only_what_may_be_sent_twice() {
    let pipeline = Pipeline::builder("test").hedge(hedge()).build().unwrap();
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let knowing = Retry::builder().never_sent(refused).build().unwrap();
    let knowing = Pipeline::builder("test").retry(knowing).hedge(hedge()).build().unwrap();
    for (pipeline, method, expected) in
        [(&pipeline, http::Method::GET, 2), (&pipeline, http::Method::POST, 1), (&knowing, http::Method::POST, 1)]
    {
        let calls = Arc::new(Mutex::new(0));
        let count = Arc::clone(&calls);
        let service = pipeline.http_layer().layer(service_fn(move |_: http::Request<String>| {
            *count.lock().unwrap() += 1;
            async {
                tokio::time::sleep(3 * SECOND).await;
                Ok::<_, io::Error>(http::Response::new(()))
            }
        }));
        let request = http::Request::builder().method(method).body(String::new()).unwrap();
        assert!(service.oneshot(request).await.is_ok());
        assert_eq!(*calls.lock().unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_whatever_failed_the_call() {
    let fallback = Fallback::new(|error: PipelineError<io::Error>| ready(Ok(error.to_string())));
    let pipeline = Pipeline::builder("test").fallback(fallback).deadline(9 * SECOND);
    let pipeline = pipeline.breaker(hasty().build().unwrap()).timeout(SECOND).build().unwrap();
    assert_eq!(pipeline.call(async || Ok("fresh".to_owned())).await.unwrap(), "fresh");
    let ignored = |_: &Result<String, io::Error>| Outcome::Ignored;
    assert!(matches!(pipeline.call_with(&ignored, async || Err(down())).await, Err(PipelineError::Inner(_))));
    assert_eq!(pipeline.call(async || Err(down())).await.unwrap(), "down");
    assert_eq!(pipeline.call(async || Ok("fresh".to_owned())).await.unwrap(), "the call was not made");
    pipeline.breaker().unwrap().close();
    let hangs = pipeline.call(std::future::pending::<io::Result<String>>);
    assert_eq!(hangs.await.unwrap(), "the call was dropped");
    assert_eq!(pipeline.breaker().unwrap().state(), State::Open, "the breaker hears of it all the same");

    let service = pipeline.layer(AllIdempotent).layer(service_fn(|(): ()| ready(Err::<String, _>(down()))));
    assert_eq!(service.clone().oneshot(()).await.unwrap(), "the call was not made");
    pipeline.breaker().unwrap().close();
    assert_eq!(tokio::spawn(service.oneshot(())).await.unwrap().unwrap(), "down");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_for_results_answers_for_failed_responses() {
    let cached = |_: Result<http::Response<_>, PipelineError<io::Error>>| ready(Ok(http::Response::new("cached")));
    let pipeline = Pipeline::builder("test").fallback(Fallback::for_results(cached)).timeout(SECOND).build().unwrap();
    let service = pipeline.http_layer().layer(service_fn(|request: http::Request<String>| {
        let status = if request.method() == http::Method::GET { 502 } else { 404 };
        ready(Ok::<_, io::Error>(http::Response::builder().status(status).body("fresh").unwrap()))
    }));
    for (method, expected) in [(http::Method::GET, "cached"), (http::Method::POST, "fresh")] {
        let request = http::Request::builder().method(method).body(String::new()).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().into_body(), expected);
    }
}

#[test]
fn a_deadline_for_each_attempt_that_cannot_be_is_refused() {
    let pipeline = Pipeline::builder("test").timeout(SECOND).build().unwrap();
    assert_eq!(pipeline.per_attempt(Duration::ZERO).unwrap_err().field(), "deadline");
    assert_eq!(pipeline.per_attempt(Duration::MAX).unwrap_err().field(), "deadline");
}

#[test]
fn a_timeout_that_never_shows_is_reported() {
    let build = |deadline: Duration, timeout: Duration| {
        Pipeline::builder("test").deadline(deadline).timeout(timeout).build().unwrap()
    };
    let expected = Lint::TimeoutExceedsDeadline { timeout: 3 * SECOND, deadline: 2 * SECOND };
    assert_eq!(build(2 * SECOND, 3 * SECOND).lints(), [expected]);
    assert_eq!(build(2 * SECOND, 2 * SECOND).lints().len(), 1);
    assert!(build(3 * SECOND, 2 * SECOND).lints().is_empty());
    let short = build(3 * SECOND, 2 * SECOND).per_attempt(SECOND).unwrap();
    assert_eq!(short.lints()[0].to_string().split(" never").next(), Some("the timeout of 2s"));
}

#[test]
fn a_breaker_that_counts_no_call_that_hangs_is_reported() {
    let build = || Pipeline::builder("test").deadline(9 * SECOND).breaker(hasty().build().unwrap());
    assert_eq!(build().build().unwrap().lints(), [Lint::BreakerWithoutTimeout { deadline: 9 * SECOND }]);
    assert!(build().timeout(SECOND).build().unwrap().lints().is_empty());
}

#[test]
fn a_hedge_that_comes_too_late_is_reported() {
    let build = |timeout: Duration| {
        Pipeline::builder("test").deadline(9 * SECOND).timeout(timeout).hedge(hedge()).build().unwrap()
    };
    let expected = Lint::HedgeTooLate { bound: Bound::Timeout, limit: SECOND, delay: SECOND };
    assert_eq!(build(SECOND).lints(), [expected]);
    assert!(build(2 * SECOND).lints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn throttle_and_limit_learn_from_what_a_timeout_around_all_attempts_cut() {
    let (throttle, limit) = (throttle(), limit());
    let pipeline = Pipeline::builder("test").timeout(SECOND).retry(retry()).throttle(throttle.clone());
    let pipeline = pipeline.concurrency(limit.clone()).build().unwrap();
    assert!(pipeline.call(async || std::future::pending::<io::Result<()>>().await).await.is_err());
    let snapshot = throttle.snapshot();
    assert_eq!((snapshot.requests, snapshot.accepts), (1, 0));
    let snapshot = limit.snapshot();
    assert!(snapshot.limit < 10 && snapshot.in_flight == 0, "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_elsewhere_is_no_failure_of_a_call_that_still_waits() {
    let breaker = hasty().build().unwrap();
    let limit = AdaptiveConcurrency::builder("test").initial_limit(1).min_limit(1).max_queue(1).build().unwrap();
    let place = limit.try_acquire().unwrap();
    let pipeline = Pipeline::builder("test").breaker(breaker.clone()).concurrency(limit).build().unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let call = pipeline.call(async || Err::<(), _>(down()));
        let mut call = std::pin::pin!(call);
        assert!(call.as_mut().now_or_never().is_none());
        panic!("somebody else's bug");
    }));
    assert!(panicked.is_err());
    place.success();
    assert_eq!((breaker.state(), breaker.snapshot().failed), (State::Closed, 0));
}
