//! The order of a pipeline, and what it reports.

use std::{io, time::Duration};

use sap_comm_resilience::{
    Bound, Bulkhead, CircuitBreaker, HttpStatus, Jitter, Lint, Pipeline, PipelineError, RateLimit, Retry, State,
};

use crate::support::{SECOND, down, hasty};

fn retry() -> Retry {
    Retry::builder().max_retries(3).min_delay(SECOND).jitter(Jitter::None).build().unwrap()
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
    assert_eq!(build(Pipeline::builder("test").timeout(Duration::ZERO)).field(), "timeout");
    assert_eq!(build(Pipeline::builder("test").deadline(Duration::MAX)).field(), "deadline");
}

#[tokio::test(start_paused = true)]
async fn every_strategy_refuses_in_its_own_words() {
    let op = async || Ok::<_, io::Error>(());
    let limit = RateLimit::builder("test").per_second(1).build().unwrap();
    limit.check().unwrap();
    let limited = Pipeline::builder("test").rate_limit(limit).build().unwrap().call(op).await.unwrap_err();
    assert!(matches!(limited, PipelineError::Limited(_)) && limited.retry_after() == Some(SECOND));

    let bulkhead = bulkhead();
    let _slot = bulkhead.acquire().await.unwrap();
    let full = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap().call(op).await.unwrap_err();
    assert!(matches!(full, PipelineError::Full(_)) && full.is_rejection());

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
    assert!(futures_util::FutureExt::now_or_never(call).is_none());
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
