//! Transitions: one each, in order, heard of once, and never by a stale result.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use futures_util::StreamExt;
use sap_comm_resilience::{Cause, CircuitBreaker, State, TripReason};

use crate::support::{SECOND, fail, hasty, open_and_wait, succeed};

/// Trap 2.
#[tokio::test(start_paused = true)]
async fn a_result_of_an_earlier_generation_changes_nothing() {
    let breaker = hasty().build().unwrap();
    let (stale_failure, stale_success) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
    open_and_wait(&breaker).await;
    let probe = breaker.try_acquire().unwrap();
    stale_success.success();
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.success();
    stale_failure.failure();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.state, snapshot.failed, snapshot.succeeded), (State::Closed, 0, 0));
}

/// Trap 6.
#[test]
fn simultaneous_failures_make_one_transition() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let breaker = CircuitBreaker::builder("test")
        .minimum_throughput(1)
        .on_transition(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let permits: Vec<_> = (0..400).map(|_| breaker.try_acquire_owned().unwrap()).collect();
    let mut events = breaker.events();
    let mut permits = permits.into_iter();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let share: Vec<_> = permits.by_ref().take(100).collect();
            scope.spawn(move || share.into_iter().for_each(|permit| permit.failure()));
        }
    });
    assert_eq!((breaker.state(), opened.load(Ordering::SeqCst)), (State::Open, 1));
    assert_eq!(events.try_recv().unwrap().cause, Cause::Tripped(TripReason::FailureRate));
    assert!(events.try_recv().is_none());
    assert!(breaker.snapshot().retry_after.is_some_and(|after| !after.is_zero()), "the timer is not lost");
}

#[tokio::test(start_paused = true)]
async fn the_event_stream_tells_the_whole_story() {
    let breaker = hasty().build().unwrap();
    let mut events = breaker.events();
    open_and_wait(&breaker).await;
    assert!(fail(&breaker).await);
    tokio::time::advance(30 * SECOND).await;
    assert!(succeed(&breaker).await);
    breaker.isolate();
    assert!(!succeed(&breaker).await);
    breaker.close();
    let story: Vec<_> = std::iter::from_fn(|| events.try_recv()).map(|event| (event.to, event.generation)).collect();
    let expected =
        [State::Open, State::HalfOpen, State::Open, State::HalfOpen, State::Closed, State::Isolated, State::Closed];
    assert_eq!(story, expected.into_iter().zip(1..).collect::<Vec<_>>());
}

#[test]
fn the_event_stream_is_in_order_whoever_makes_the_transitions() {
    let breaker = hasty().build().unwrap();
    let mut events = breaker.events();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..7 {
                    breaker.isolate();
                    breaker.close();
                }
            });
        }
    });
    let generations: Vec<_> = std::iter::from_fn(|| events.try_recv()).map(|event| event.generation).collect();
    let last = breaker.snapshot().generation;
    assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
    // A close while closed is no transition.
    assert!(generations.last().is_some_and(|newest| *newest <= last));
}

/// Trap 22.
#[tokio::test(start_paused = true)]
async fn a_listener_may_call_back_and_panic() {
    let handle: Arc<OnceLock<CircuitBreaker>> = Arc::default();
    let inside = Arc::clone(&handle);
    let breaker = hasty()
        .on_transition(|_| panic!("a bug in a listener"))
        .on_transition(move |event| {
            let breaker = inside.get().unwrap();
            assert_eq!(breaker.snapshot().generation, event.generation);
            let _ = breaker.try_acquire();
            if event.to == State::Open {
                breaker.isolate();
            }
        })
        .build()
        .unwrap();
    handle.set(breaker.clone()).unwrap();
    assert!(fail(&breaker).await);
    assert_eq!(breaker.state(), State::Isolated);
    breaker.close();
    assert!(succeed(&breaker).await);
}

/// Calls the breaker from inside the transition that wakes it.
struct CallsBack(CircuitBreaker);

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.snapshot().state, State::Open);
        self.0.isolate();
        panic!("a bug in a waker");
    }
}

/// Trap 22.
#[tokio::test(start_paused = true)]
async fn a_reader_of_the_events_may_call_back_when_woken_and_panic() {
    let breaker = hasty().build().unwrap();
    let mut events = breaker.events();
    let waker = Waker::from(Arc::new(CallsBack(breaker.clone())));
    let mut next = Box::pin(events.recv());
    assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    breaker.try_acquire().unwrap().failure();
    assert_eq!(next.await.map(|event| event.to), Some(State::Open));
    assert_eq!(events.recv().await.map(|event| event.to), Some(State::Isolated));
    breaker.close();
    assert_eq!(events.recv().await.map(|event| event.to), Some(State::Closed));
}

#[tokio::test(start_paused = true)]
async fn closing_a_closed_breaker_empties_its_window_and_is_no_transition() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let mut events = breaker.events();
    assert!(fail(&breaker).await);
    let in_flight = breaker.try_acquire().unwrap();
    breaker.close();
    in_flight.failure();
    assert_eq!(breaker.snapshot().failed, 0);
    assert!(events.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_growing_reset_timeout_grows_with_every_failed_probe_only() {
    let breaker = hasty().reset_timeout(SECOND).reset_backoff(2.0, 5 * SECOND).build().unwrap();
    assert!(fail(&breaker).await);
    for expected in [1, 2, 4, 5, 5] {
        assert_eq!(breaker.snapshot().retry_after, Some(expected * SECOND));
        tokio::time::advance(expected * SECOND).await;
        assert!(fail(&breaker).await);
    }
    tokio::time::advance(5 * SECOND).await;
    assert!(succeed(&breaker).await);
    assert!(fail(&breaker).await);
    assert_eq!(breaker.snapshot().retry_after, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_events_are_a_stream_that_ends_with_the_breaker() {
    let breaker = hasty().build().unwrap();
    let events = breaker.events().into_stream();
    breaker.isolate();
    breaker.isolate();
    breaker.close();
    drop(breaker);
    let causes: Vec<_> = events.map(|event| (event.from, event.to, event.cause)).collect().await;
    let expected = [(State::Closed, State::Isolated, Cause::Manual), (State::Isolated, State::Closed, Cause::Manual)];
    assert_eq!(causes, expected);
}

#[tokio::test(start_paused = true)]
async fn an_isolated_breaker_never_probes() {
    let breaker = hasty().build().unwrap();
    breaker.isolate();
    tokio::time::advance(365 * 86_400 * SECOND).await;
    assert_eq!(breaker.try_acquire().unwrap_err().retry_after(), 30 * SECOND, "nobody knows, so as long as any reset");
    assert_eq!(breaker.state(), State::Isolated);
}
