//! Requests held back on the client's side, by the SRE book's formula.

use std::{
    future::{pending, ready},
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::FutureExt;
use sap_comm_resilience::{
    AdaptiveThrottle, AdaptiveThrottleBuilder, AdaptiveThrottleError, CircuitBreaker, HttpStatus, Outcome, Retry,
};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{MILLISECOND, SECOND, down};

fn throttle() -> AdaptiveThrottleBuilder {
    AdaptiveThrottle::builder("test").seed(1)
}

/// One that has counted so many requests, of which so many were accepted.
fn counted(builder: AdaptiveThrottleBuilder, requests: u32, accepts: u32) -> AdaptiveThrottle {
    let throttle = builder.build().unwrap();
    let permits: Vec<_> = (0..requests).map(|_| throttle.try_acquire().unwrap()).collect();
    for (number, permit) in (0..).zip(permits) {
        if number < accepts { permit.accepted() } else { permit.refused() }
    }
    throttle
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_the_books() {
    for (requests, accepts, expected) in [
        (100, 100, 0.0),
        (100, 50, 0.0),
        (100, 49, 2.0 / 101.0),
        (100, 10, 80.0 / 101.0),
        (9, 0, 0.0),
        (10, 0, 10.0 / 11.0),
        (100, 0, 0.95),
    ] {
        let snapshot = counted(throttle(), requests, accepts).snapshot();
        assert_eq!((snapshot.requests, snapshot.accepts), (u64::from(requests), u64::from(accepts)));
        assert!((snapshot.rejection_rate - expected).abs() < 1e-9, "{snapshot:?}");
    }
    let unbounded = counted(throttle().max_rejection_rate(1.0).minimum_throughput(0), 1, 0).snapshot();
    assert!((unbounded.rejection_rate - 0.5).abs() < 1e-9, "{unbounded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_healthy_dependency_gets_everything() {
    let throttle = throttle().build().unwrap();
    for _ in 0..10_000 {
        throttle.call(async || Ok::<_, io::Error>(())).await.unwrap();
    }
    assert_eq!(throttle.snapshot().requests, 10_000);
}

#[tokio::test(start_paused = true)]
async fn a_dependency_that_takes_a_tenth_is_asked_for_little_more_than_twice_of_it() {
    let throttle = throttle().build().unwrap();
    let (mut sent, mut taken) = (0, 0);
    // A hundred requests a second for ten minutes; it takes ten of them.
    for second in 0..600 {
        let mut left = 10;
        for _ in 0..100 {
            tokio::time::advance(10 * MILLISECOND).await;
            let Ok(permit) = throttle.try_acquire() else { continue };
            if second >= 300 {
                sent += 1;
            }
            if left > 0 {
                left -= 1;
                taken += u32::from(second >= 300);
                permit.accepted();
            } else {
                permit.settle(Outcome::Throttled(None));
            }
        }
    }
    assert!(taken >= 2_700, "it takes about as much as it can: {taken} of 3000");
    assert!((5_000..7_500).contains(&sent), "K is 2: {sent}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_draws_the_same_lots() {
    let lots = |seed| {
        let throttle = counted(throttle().seed(seed), 100, 20);
        (0..200).map(|_| throttle.try_acquire().is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(lots(1), lots(1));
    assert_ne!(lots(1), lots(2));
}

#[tokio::test(start_paused = true)]
async fn the_window_forgets() {
    let throttle = counted(throttle(), 100, 0);
    tokio::time::advance(117 * SECOND).await;
    assert_eq!(throttle.snapshot().requests, 100);
    tokio::time::advance(3 * SECOND).await;
    assert_eq!(throttle.snapshot().requests, 0);
    assert!(throttle.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_it_holds_back_is_neither_counted_nor_retried() {
    let throttle = counted(throttle().max_rejection_rate(1.0), 100_000, 0);
    let breaker = CircuitBreaker::builder("test").consecutive_failures(1).build().unwrap();
    let retry = Retry::builder().max_retries(3).build().unwrap();
    let calls = AtomicU32::new(0);
    let result = retry
        .call(|| {
            calls.fetch_add(1, Ordering::SeqCst);
            breaker.call(async || throttle.call(async || Ok::<_, io::Error>(())).await)
        })
        .await;
    let error = result.unwrap_err().into_inner();
    assert!(matches!(error, Some(AdaptiveThrottleError::Throttled(_))), "{error:?}");
    assert_eq!((calls.into_inner(), breaker.snapshot().failed), (1, 0));
    assert_eq!(throttle.snapshot().requests, 100_001, "what is held back is a request too");

    let boxed: Box<dyn std::error::Error + Send + Sync> = error.unwrap().into();
    let _ = breaker.call(async || Err::<(), _>(boxed)).await;
    assert_eq!(breaker.snapshot().failed, 0, "nor is it inside a box");
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_counted_as_what_they_say_about_the_dependency() {
    for (outcome, requests, accepts) in [
        (Outcome::Success, 1, 1),
        (Outcome::Ignored, 1, 1),
        (Outcome::Failure, 1, 0),
        (Outcome::Throttled(None), 1, 0),
        (Outcome::Rejected, 0, 0),
    ] {
        let throttle = throttle().build().unwrap();
        throttle.try_acquire().unwrap().settle(outcome);
        let snapshot = throttle.snapshot();
        assert_eq!((snapshot.requests, snapshot.accepts), (requests, accepts), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_counts_for_nothing() {
    let throttle = throttle().build().unwrap();
    assert!(throttle.call(async || pending::<io::Result<()>>().await).now_or_never().is_none());
    assert_eq!(throttle.snapshot().requests, 0);
    let _ = throttle.call(async || Err::<(), _>(down())).await;
    assert_eq!((throttle.snapshot().requests, throttle.snapshot().accepts), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_layer_throttles_too() {
    let throttle = throttle().build().unwrap();
    let service = throttle.layer().classify(HttpStatus).layer(service_fn(|(): ()| {
        let mut response = http::Response::new(());
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        ready(Ok::<_, io::Error>(response))
    }));
    let mut held_back = 0;
    for _ in 0..1_000 {
        held_back += u32::from(service.clone().oneshot(()).await.is_err());
    }
    assert_eq!((throttle.snapshot().requests, throttle.snapshot().accepts), (1_000, 0));
    assert!((900..=990).contains(&held_back), "{held_back}");
}
