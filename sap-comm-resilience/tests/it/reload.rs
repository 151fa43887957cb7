//! A change of configuration keeps what the window holds.

use sap_comm_resilience::{CircuitBreaker, State};

use crate::support::{SECOND, fail, hasty, open_and_wait, succeed};

#[tokio::test(start_paused = true)]
async fn a_new_threshold_judges_the_old_window() {
    let breaker = CircuitBreaker::builder("test").failure_rate(0.9).build().unwrap();
    for _ in 0..10 {
        assert!(fail(&breaker).await && succeed(&breaker).await);
    }
    assert_eq!(breaker.state(), State::Closed);
    let mut config = breaker.config();
    config.failure_rate = Some(0.5);
    breaker.reload(config).unwrap();
    assert_eq!(breaker.snapshot().failed, 10);
    assert!(fail(&breaker).await);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn another_window_takes_the_content_over() {
    let breaker = CircuitBreaker::builder("test").minimum_throughput(100).consecutive_failures(9).build().unwrap();
    for _ in 0..7 {
        assert!(succeed(&breaker).await);
    }
    assert!(fail(&breaker).await);
    let mut config = breaker.config();
    config.sampling_window = 60 * SECOND;
    breaker.reload(config).unwrap();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.succeeded, snapshot.failed, snapshot.consecutive_failures), (7, 1, 1));
    tokio::time::advance(50 * SECOND).await;
    assert_eq!(breaker.snapshot().succeeded, 7);
    tokio::time::advance(20 * SECOND).await;
    assert_eq!(breaker.snapshot().succeeded, 0);
    assert!(succeed(&breaker).await);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_configuration_changes_nothing() {
    let breaker = CircuitBreaker::builder("test").build().unwrap();
    let mut config = breaker.config();
    config.failure_rate = Some(f64::NAN);
    assert_eq!(breaker.reload(config).unwrap_err().field(), "failure_rate");
    let mut config = breaker.config();
    config.sampling_buckets = 20;
    assert_eq!(breaker.reload(config).unwrap_err().field(), "sampling_buckets");
    assert_eq!(breaker.config().failure_rate, Some(0.5));
}

/// Another window length, as a reload would bring it.
fn reload_window(breaker: &CircuitBreaker, seconds: u32) {
    let mut config = breaker.config();
    config.sampling_window = seconds * SECOND;
    breaker.reload(config).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_keeps_its_say_through_a_reload() {
    let breaker = hasty().build().unwrap();
    open_and_wait(&breaker).await;
    let probe = breaker.try_acquire().unwrap();
    reload_window(&breaker, 20);
    assert_eq!(breaker.snapshot().probes, 1);
    probe.success();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_calls_is_not_touched_by_another_length_of_time() {
    let breaker = CircuitBreaker::builder("test").sampling_calls(20).build().unwrap();
    let in_flight = breaker.try_acquire().unwrap();
    for _ in 0..4 {
        assert!(succeed(&breaker).await && fail(&breaker).await);
    }
    reload_window(&breaker, 20);
    in_flight.failure();
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.succeeded, snapshot.failed, snapshot.consecutive_failures), (4, 5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_window_still_counts_after_thousands_of_reloads() {
    let breaker = CircuitBreaker::builder("test").minimum_throughput(100).build().unwrap();
    assert!(fail(&breaker).await);
    for reload in 0..3_500 {
        reload_window(&breaker, 20 + reload % 2);
    }
    assert!(fail(&breaker).await);
    assert_eq!(breaker.snapshot().failed, 2);
}
