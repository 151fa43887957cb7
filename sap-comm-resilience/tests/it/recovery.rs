//! What happens after the reset: no two callers in step, and traffic let in by steps.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sap_comm_resilience::{CircuitBreaker, Jitter, Retry, State, TripPolicy};

use crate::support::{SECOND, down, hasty, open_and_wait, succeed};

/// Trap 15.
#[tokio::test(start_paused = true)]
async fn the_reset_is_jittered_by_default() {
    let mut waits = HashSet::new();
    for _ in 0..20 {
        let breaker = CircuitBreaker::builder("test").consecutive_failures(1).build().unwrap();
        breaker.try_acquire().unwrap().failure();
        let wait = breaker.snapshot().retry_after.unwrap();
        assert!(wait > 27 * SECOND - Duration::from_nanos(1) && wait <= 30 * SECOND, "{wait:?}");
        waits.insert(wait);
    }
    assert!(waits.len() > 15);
}

/// Trap 15.
#[tokio::test(start_paused = true)]
async fn traffic_is_let_in_by_steps_after_recovery() {
    let breaker = hasty().ramp(10 * SECOND).build().unwrap();
    open_and_wait(&breaker).await;
    assert!(succeed(&breaker).await);
    let mut admitted = Vec::new();
    for _ in 0..11 {
        let calls = (0..100_000).filter(|_| breaker.try_acquire().map(|permit| permit.success()).is_ok());
        admitted.push(calls.count());
        tokio::time::advance(SECOND).await;
    }
    assert_eq!(admitted[..4], [10, 20, 40, 80]);
    assert_eq!(admitted[10], 100_000);
    assert!(!breaker.snapshot().ramping);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_ramping_opens_again() {
    let breaker = hasty().ramp(10 * SECOND).build().unwrap();
    open_and_wait(&breaker).await;
    assert!(succeed(&breaker).await);
    assert!(breaker.snapshot().ramping);
    open_and_wait(&breaker).await;
}

/// Trap 15.
#[tokio::test(start_paused = true)]
async fn two_clients_wait_differently() {
    for jitter in [Jitter::Full, Jitter::Equal, Jitter::Spread(0.25)] {
        let mut waits = HashSet::new();
        for _ in 0..10 {
            let retry = Retry::builder().max_retries(2).min_delay(SECOND).jitter(jitter).build().unwrap();
            let started = tokio::time::Instant::now();
            let _ = retry.call(async || Err::<(), _>(down())).await;
            let wait = started.elapsed();
            assert!(wait <= Duration::from_millis(3_750), "{wait:?}");
            waits.insert(wait);
        }
        assert!(waits.len() > 7, "{jitter:?}: {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_moment_of_a_reset_timeout_is_waited_for_too() {
    let breaker = hasty().reset_timeout(SECOND).build().unwrap();
    breaker.try_acquire().unwrap().failure();
    for left in [999, 21, 20, 19, 1].map(Duration::from_millis) {
        tokio::time::advance(breaker.snapshot().retry_after.unwrap() - left).await;
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), left);
    }
    tokio::time::advance(Duration::from_millis(1)).await;
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_trip_policy_opens_for_as_long_as_it_says() {
    struct Strict;
    impl TripPolicy for Strict {
        fn succeeded(&mut self) {}
        fn failed(&mut self) -> Option<Duration> {
            Some(7 * SECOND)
        }
        fn revived(&mut self) {}
    }
    // By itself, and together with the rule that the first failure opens it.
    for builder in [CircuitBreaker::builder("test"), hasty()] {
        let breaker = builder.reset_jitter(0.9).trip_policy(Strict).build().unwrap();
        breaker.try_acquire().unwrap().failure();
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), 7 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trip_policy_begins_anew_when_the_breaker_closes_and_only_then() {
    struct Counting(Arc<AtomicU32>);
    impl TripPolicy for Counting {
        fn succeeded(&mut self) {}
        fn failed(&mut self) -> Option<Duration> {
            None
        }
        fn revived(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let revived = Arc::new(AtomicU32::new(0));
    let breaker = hasty().trip_policy(Counting(Arc::clone(&revived))).build().unwrap();
    open_and_wait(&breaker).await;
    open_and_wait(&breaker).await;
    assert_eq!(revived.load(Ordering::SeqCst), 0);
    assert!(succeed(&breaker).await);
    assert_eq!(revived.load(Ordering::SeqCst), 1);
    breaker.close();
    assert_eq!(revived.load(Ordering::SeqCst), 2);
}
