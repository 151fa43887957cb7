//! Probes of a half-open breaker: how many, and what becomes of their slots.

use std::{future::pending, io};

use futures_util::{FutureExt, future::join_all};
use sap_comm_resilience::{BreakerError, Outcome, State};

use crate::support::{MILLISECOND, SECOND, down, hasty, open_and_wait, succeed};

/// Trap 1.
#[tokio::test(start_paused = true)]
async fn a_stampede_gets_as_many_probes_as_configured() {
    let breaker = hasty().probes(3).probe_successes(3).build().unwrap();
    open_and_wait(&breaker).await;
    let calls = (0..1_000).map(|_| {
        breaker.call(async || {
            tokio::time::sleep(SECOND).await;
            Ok::<_, io::Error>(())
        })
    });
    let admitted = join_all(calls).await.iter().filter(|result| result.is_ok()).count();
    assert_eq!(admitted, 3);
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 1.
#[tokio::test(start_paused = true)]
async fn threads_that_stampede_get_as_many_probes_as_configured() {
    let breaker = hasty().probes(5).build().unwrap();
    open_and_wait(&breaker).await;
    let runtime = tokio::runtime::Handle::current();
    let permits: Vec<_> = std::thread::scope(|scope| {
        let acquire = || {
            let _clock = runtime.enter();
            (0..250).filter_map(|_| breaker.try_acquire_owned().ok()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(acquire)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(permits.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_adds_probes_lets_them_in_at_once() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    let first = breaker.try_acquire().unwrap();
    assert!(breaker.try_acquire().is_err() && breaker.try_acquire().is_err());
    let mut config = breaker.config();
    config.probes = 2;
    breaker.reload(config).unwrap();
    let second = breaker.try_acquire().unwrap();
    assert!(breaker.try_acquire().is_err());
    first.ignore();
    assert!(breaker.try_acquire().is_ok());
    second.success();
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 3.
#[tokio::test(start_paused = true)]
async fn a_dropped_probe_returns_its_slot_and_counts_for_nothing() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    let mut probe = Box::pin(breaker.call(async || pending::<Result<(), io::Error>>().await));
    assert!(probe.as_mut().now_or_never().is_none());
    assert!(!succeed(&breaker).await, "the slot is taken");
    drop(probe);
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(succeed(&breaker).await, "the slot is free");
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 4.
#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_loses_its_slot_and_its_say() {
    let breaker = hasty().probe_lease(5 * SECOND).build().unwrap();
    open_and_wait(&breaker).await;
    let stuck = breaker.try_acquire().unwrap();
    assert!(breaker.try_acquire().is_err());
    tokio::time::advance(5 * SECOND).await;
    let second = breaker.try_acquire().unwrap();
    stuck.failure();
    assert_eq!(breaker.state(), State::HalfOpen);
    second.success();
    assert_eq!(breaker.state(), State::Closed);
}

/// Trap 5.
#[tokio::test(start_paused = true)]
async fn an_ignored_outcome_releases_the_last_probe() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    for outcome in [Outcome::Ignored, Outcome::Throttled(None), Outcome::Rejected] {
        breaker.try_acquire().unwrap().settle(outcome);
        assert_eq!((breaker.state(), breaker.snapshot().probes), (State::HalfOpen, 0));
    }
    assert!(succeed(&breaker).await);
}

/// Trap 2.
#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_again() {
    let breaker = hasty().probes(2).build().unwrap();
    open_and_wait(&breaker).await;
    let (first, second) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
    first.failure();
    assert_eq!(breaker.state(), State::Open);
    second.success();
    assert_eq!(breaker.state(), State::Open, "a result of the generation before changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_names_the_breaker_and_the_wait() {
    let breaker = hasty().build().unwrap();
    let _ = breaker.call(async || Err::<(), _>(down())).await;
    tokio::time::advance(10 * SECOND).await;
    match breaker.call(async || Ok::<_, io::Error>(())).await {
        Err(BreakerError::Open(rejected)) => {
            assert_eq!((rejected.name.as_str(), rejected.retry_after()), ("test", 20 * SECOND));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_slow_opens_again() {
    let breaker = hasty().slow_calls(SECOND, 1.0).build().unwrap();
    for (pause, expected) in [(SECOND, State::Open), (SECOND - MILLISECOND, State::Closed)] {
        if breaker.state() == State::Closed {
            breaker.try_acquire().unwrap().failure();
        }
        tokio::time::advance(30 * SECOND).await;
        let probe = breaker.try_acquire().unwrap();
        tokio::time::advance(pause).await;
        probe.success();
        assert_eq!(breaker.state(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_caller_waits_for_the_first_lease_to_expire_but_a_second_at_most() {
    for (lease, expected) in [(SECOND / 2, SECOND / 2), (30 * SECOND, SECOND)] {
        let breaker = hasty().probe_lease(lease).build().unwrap();
        breaker.try_acquire().unwrap().failure();
        tokio::time::advance(30 * SECOND).await;
        let _probe = breaker.try_acquire().unwrap();
        assert_eq!(breaker.snapshot().probes, 1);
        assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_comes_to_own_its_breaker_keeps_its_slot() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    let kept = breaker.try_acquire().unwrap().into_owned();
    assert!(breaker.try_acquire().is_err());
    drop(kept);
    breaker.try_acquire().unwrap().into_owned().success();
    assert_eq!(breaker.state(), State::Closed);
}
