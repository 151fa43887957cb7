//! The rate, on tokio's clock.

use std::{cell::RefCell, io, time::Duration};

use futures_util::{FutureExt, future::join_all};
use sap_comm_resilience::{RateLimit, RateLimitError};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::SECOND;

#[tokio::test(start_paused = true)]
async fn a_burst_and_then_the_rate() {
    let limit = RateLimit::builder("test").per_second(10).burst(3).build().unwrap();
    assert_eq!((0..10).filter(|_| limit.check().is_ok()).count(), 3);
    assert_eq!(limit.check().unwrap_err().retry_after, Duration::from_millis(100));
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!((0..10).filter(|_| limit.check().is_ok()).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_as_long_as_it_may() {
    let limit = RateLimit::builder("test").per(SECOND, 1).max_wait(SECOND).build().unwrap();
    let started = Instant::now();
    limit.acquire().await.unwrap();
    limit.acquire().await.unwrap();
    assert_eq!(started.elapsed(), SECOND);

    let impatient = RateLimit::builder("test").per(SECOND, 1).max_wait(SECOND / 2).build().unwrap();
    impatient.acquire().await.unwrap();
    assert!(impatient.acquire().await.is_err());
    assert_eq!(started.elapsed(), SECOND, "it refuses without the wait");
}

#[tokio::test(start_paused = true)]
async fn the_layer_limits_too() {
    let limit = RateLimit::builder("test").per_second(1).build().unwrap();
    let service = limit.layer().layer(service_fn(|(): ()| std::future::ready(Ok::<_, io::Error>(()))));
    assert!(service.clone().oneshot(()).await.is_ok());
    assert!(matches!(service.oneshot(()).await, Err(RateLimitError::Limited(_))));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_bounded_and_go_in_order() {
    let limit = RateLimit::builder("test").per_second(1).max_wait(60 * SECOND).max_queue(5).build().unwrap();
    let (started, went) = (Instant::now(), RefCell::new(Vec::new()));
    let done = join_all((0..10_u32).map(async |number| {
        let done = limit.acquire().await;
        if done.is_ok() {
            went.borrow_mut().push((number, started.elapsed().as_secs()));
        }
        done.map_err(|limited| limited.retry_after)
    }))
    .await;
    assert_eq!(*went.borrow(), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    assert_eq!(done[6..], [Err(6 * SECOND); 4]);
    assert_eq!(limit.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_overtakes_nobody() {
    let limit = RateLimit::builder("test").per_second(1).max_wait(60 * SECOND).build().unwrap();
    limit.check().unwrap();
    let mut first = Box::pin(limit.acquire());
    assert!(first.as_mut().now_or_never().is_none());
    assert_eq!(limit.check().unwrap_err().retry_after, 2 * SECOND);
    tokio::time::advance(SECOND).await;
    assert!(limit.check().is_err(), "the call is that of the one who waits");
    first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_behind_others_that_would_be_too_long_is_refused_at_once() {
    let limit = RateLimit::builder("test").per_second(1).max_wait(SECOND).build().unwrap();
    limit.check().unwrap();
    let mut first = Box::pin(limit.acquire());
    assert!(first.as_mut().now_or_never().is_none());
    let refused = limit.acquire().now_or_never().expect("no wait").unwrap_err();
    assert_eq!(refused.retry_after, 2 * SECOND);
    drop(first);
    assert_eq!(limit.queued(), 0);
    limit.acquire().await.unwrap();
}
