//! What counts as a failure and what does not.

use std::{error::Error, io, time::Duration};

use sap_comm_resilience::{
    BreakerError, Bulkhead, CircuitBreaker, HttpStatus, Outcome, RateLimit, Rejected, State, Timeout, is_rejection,
};

use crate::support::{SECOND, hasty};

type BoxError = Box<dyn Error + Send + Sync>;

/// Trap 16.
#[tokio::test(start_paused = true)]
async fn statuses_count_by_their_class() {
    let breaker = CircuitBreaker::builder("test").minimum_throughput(1_000).build().unwrap();
    for (status, retry_after) in [(200, None), (404, None), (429, None), (503, Some("3")), (503, None), (500, None)] {
        let mut response = http::Response::builder().status(status);
        if let Some(after) = retry_after {
            response = response.header("retry-after", after);
        }
        let response = response.body(()).unwrap();
        let result = breaker.call_with(&HttpStatus, async || Ok::<_, io::Error>(response)).await;
        assert!(result.is_ok());
    }
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.succeeded, snapshot.failed), (1, 2));
}

/// Trap 17.
#[tokio::test(start_paused = true)]
async fn a_rejection_by_a_nested_breaker_is_no_failure() {
    let (outer, inner) = (hasty().build().unwrap(), hasty().build().unwrap());
    inner.isolate();
    for _ in 0..3 {
        let result = outer.call(async || inner.call(async || Ok::<_, io::Error>(())).await).await;
        assert!(matches!(result, Err(BreakerError::Inner(BreakerError::Open(_)))));
    }
    assert_eq!(outer.state(), State::Closed);
    assert_eq!(outer.snapshot().failed, 0);
}

/// Trap 17.
#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_and_a_rate_limit_are_no_failures() {
    let breaker = hasty().build().unwrap();
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).build().unwrap();
    let limit = RateLimit::builder("test").per_second(1).build().unwrap();
    let _slot = bulkhead.acquire().await.unwrap();
    limit.check().unwrap();
    let full = breaker.call(async || bulkhead.call(async || Ok::<_, io::Error>(())).await).await;
    let limited = breaker.call(async || limit.call(async || Ok::<_, io::Error>(())).await).await;
    assert!(full.is_err() && limited.is_err());
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 17.
#[tokio::test(start_paused = true)]
async fn a_rejection_is_seen_inside_a_boxed_error() {
    let (outer, inner) = (hasty().build().unwrap(), hasty().build().unwrap());
    inner.isolate();
    let nested = async || match inner.call(async || Ok::<_, io::Error>(())).await {
        Ok(()) => Ok(()),
        Err(error) => Err(BoxError::from(error)),
    };
    assert!(outer.call(nested).await.is_err());
    assert_eq!(outer.state(), State::Closed);
}

/// Trap 17.
#[tokio::test(start_paused = true)]
async fn a_rejection_is_seen_inside_an_io_error() {
    let (outer, inner) = (hasty().build().unwrap(), hasty().build().unwrap());
    inner.isolate();
    let nested = async || inner.call(async || Ok::<_, io::Error>(())).await.map_err(io::Error::other);
    assert!(outer.call(nested).await.is_err());
    let deeper = async || nested().await.map_err(io::Error::other).map_err(BoxError::from);
    assert!(outer.call(deeper).await.is_err());
    let bare = async || inner.try_acquire().map(drop).map_err(io::Error::other);
    assert!(outer.call(bare).await.is_err());
    assert_eq!((outer.state(), outer.snapshot().failed), (State::Closed, 0));
}

#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error("not called")]
    NotCalled(#[source] Rejected),
    #[error("down")]
    Down(#[source] io::Error),
}

/// Trap 17.
#[tokio::test(start_paused = true)]
async fn a_classifier_finds_a_rejection_inside_an_error_of_its_own() {
    let (outer, inner) = (hasty().build().unwrap(), hasty().build().unwrap());
    inner.isolate();
    let judge = |result: &Result<(), Mine>| match result {
        Ok(()) => Outcome::Success,
        Err(error) if is_rejection(error) => Outcome::Rejected,
        Err(_) => Outcome::Failure,
    };
    let rejected = inner.try_acquire().map(drop).unwrap_err();
    assert!(outer.call_with(&judge, async || Err(Mine::NotCalled(rejected))).await.is_err());
    assert_eq!(outer.state(), State::Closed);
    assert!(outer.call_with(&judge, async || Err(Mine::Down(io::Error::other("down")))).await.is_err());
    assert_eq!(outer.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failure_inside_nested_strategies_is_one() {
    let breaker = hasty().build().unwrap();
    let bulkhead = Bulkhead::builder("test").build().unwrap();
    let failing = async || Err::<(), _>(io::Error::other("down"));
    let _ = breaker.call(async || bulkhead.call(failing).await).await;
    assert_eq!(breaker.state(), State::Open);
}

/// Trap 18.
#[tokio::test(start_paused = true)]
async fn a_timeout_counts_once_and_cancels_the_call() {
    struct SetOnDrop<'a>(&'a std::cell::Cell<u32>);
    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let timeout = Timeout::new(3 * SECOND);
    let dropped = std::cell::Cell::new(0);
    let slow = async || {
        let _guard = SetOnDrop(&dropped);
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, io::Error>(())
    };
    let started = tokio::time::Instant::now();
    assert!(breaker.call(async || timeout.call(slow).await).await.is_err());
    assert_eq!((started.elapsed(), dropped.get()), (3 * SECOND, 1));
    assert_eq!((breaker.snapshot().failed, breaker.snapshot().succeeded), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_closure_classifies() {
    let breaker = hasty().build().unwrap();
    let judge = |result: &Result<u32, io::Error>| match result {
        Ok(0) => Outcome::Failure,
        _ => Outcome::Ignored,
    };
    assert!(breaker.call_with(&judge, async || Err(io::Error::other("ignored"))).await.is_err());
    assert_eq!(breaker.state(), State::Closed);
    assert!(breaker.call_with(&judge, async || Ok(0)).await.is_ok());
    assert_eq!(breaker.state(), State::Open);
}
