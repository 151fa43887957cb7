//! The rate, on tokio's clock.

use std::{io, time::Duration};

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
